#!/bin/sh
# A module that does as it is told, in a language without any library for it: the module protocol (docs/modules.md) by a shell's own words.
say() {
    echo "$1" >&"$CUTLINE_MODULE_FD"
}

say '{"type":"hello","protocol":1,"version":"1.2"}'
say '{"type":"ready"}'
while read -r line <&"$CUTLINE_MODULE_FD"; do
    id=${line#*\"id\":}
    id=${id%%[,\}]*}
    case $line in
    *'"type":"shutdown"'*)
        echo goodbye
        exit 0
        ;;
    *'"type":"health"'*) say "{\"type\":\"health\",\"id\":$id,\"status\":\"healthy\"}" ;;
    *'"type":"config_update"'*) say "{\"type\":\"ack\",\"id\":$id,\"ok\":true}" ;;
    esac
done
