//! A configuration for who debugs: every key, without what references name.

use std::fmt;

use super::Config;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a reference names may be part of any string, below any section.
        f.write_str(&self.resolved.hide(&format!("{:?}", Sections(self))))
    }
}

struct Sections<'a>(&'a Config);

impl fmt::Debug for Sections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that no section is forgotten.
        let Config {
            output,
            feeds,
            ingest,
            engine_host,
            clock,
            log,
            publish,
            http,
            control,
            shutdown,
            measure,
            supervisor,
            modules,
            links,
            care,
            lanes,
            resolved,
        } = self.0;
        f.debug_struct("Config")
            .field("output", output)
            .field("feeds", feeds)
            .field("ingest", ingest)
            .field("engine_host", engine_host)
            .field("clock", clock)
            .field("log", log)
            .field("publish", publish)
            .field("http", http)
            .field("control", control)
            .field("shutdown", shutdown)
            .field("measure", measure)
            .field("supervisor", supervisor)
            .field("modules", modules)
            .field("links", links)
            .field("care", care)
            .field("lanes", lanes)
            .field("resolved", resolved)
            .finish()
    }
}
