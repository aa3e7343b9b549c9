//! The watch over the configuration is a module that somebody may stop and start.

use serde_json::json;

use super::{Edited, FIRST, MACHINE};
use crate::common::{fails, succeed, wait_until};

#[test]
fn a_watch_that_is_started_again_goes_on_where_it_was() {
    let edited = Edited::start();
    let all_is_in_force = || wait_until("all of it is in force", || edited.show()["on_its_way"] == false);
    succeed(&["config", "set", &edited.data, "clock.max_step_ms=800"]);
    all_is_in_force();
    succeed(&["module", "stop", &edited.data, "watch"]);
    let said = fails(MACHINE, &["config", "set", &edited.data, "clock.max_step_ms=700"]);
    assert!(said.contains("`watch` does not run"), "{said}");
    // Read once somebody watches again.
    edited.edit(&FIRST.replace("interval_ms = 200", "interval_ms = 100"));
    succeed(&["module", "start", &edited.data, "watch"]);
    edited.wait_for("changed", 2);
    all_is_in_force();
    let keys = &edited.show()["keys"];
    assert_eq!(keys["clock.max_step_ms"], json!({"value": 800, "from": "override:1"}));
    assert_eq!(keys["scheduler.interval_ms"]["value"], 100);
    succeed(&["module", "restart", &edited.data, "watch"]);
    let back = succeed(&["config", "rollback", &edited.data]);
    assert!(back.contains("scheduler.interval_ms: 100 -> 200"), "{back}");
    all_is_in_force();
    edited.prove();
}
