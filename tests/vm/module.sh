#!/bin/sh
# A module that uses what its argument says, and speaks the module protocol besides.
case $1 in
burn) while :; do :; done & ;;
eat)
    # Two processes, each of which may have its 40 MB, and which together have too much. Once: when it starts again it is well.
    if mkdir /var/lib/cutline/ate; then
        for _ in 1 2; do yes | head -c 40M | tail -c 40M | { sleep 1000; } & done
    fi
    ;;
fork) (for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done) & ;;
esac
exec sh /opt/modules/polite.sh
