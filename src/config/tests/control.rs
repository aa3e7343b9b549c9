//! The doors to a running system: where they are, and who may pass.

use std::path::Path;

use super::{good, only};
use crate::config::{HttpListen, Who};

#[test]
fn http_listens_nowhere_unless_told_and_only_where_this_machine_alone_can_reach_it() {
    let listen = |text: &str| format!("[http]\nlisten = {text:?}\n");
    assert_eq!(good("").http.listen, None);
    for address in ["127.0.0.1:9464", "[::1]:1", "127.8.8.8:0"] {
        let tcp = HttpListen::Tcp(address.parse().expect("an address"));
        assert_eq!(good(&listen(address)).http.listen, Some(tcp));
    }
    assert_eq!(good(&listen("unix:/run/c")).http.listen, Some(HttpListen::Unix("/run/c".into())));
    for address in ["0.0.0.0:9464", "[::]:9464", "192.168.0.1:80", "localhost:80", "9464", "unix:"] {
        assert_eq!(only(&listen(address)), (2, "http.listen".into()), "{address}");
    }
    let long = listen(&format!("unix:/{}", "x".repeat(107)));
    assert_eq!(only(&long), (2, "http.listen".into()));
}

#[test]
fn the_control_socket_lies_beside_the_live_logs_and_is_its_owner_s() {
    let control = good("[log]\nlive_dir = \"/dev/shm/here\"\n").control;
    assert_eq!((control.path.as_path(), control.mode), (Path::new("/dev/shm/here/control.sock"), 0o600));
    assert_eq!(control.admins, [Who::Owner, Who::Uid(0)]);
    assert!(control.viewers.is_empty() && control.operators.is_empty());
    assert_eq!(good("[control]\npath = \"/run/c\"\nmode = \"0660\"\n").control.mode, 0o660);
    for mode in ["0644x", "0777", "0060", "1600", "", "600000"] {
        assert_eq!(only(&format!("[control]\nmode = {mode:?}\n")), (2, "control.mode".into()), "{mode}");
    }
}

#[test]
fn people_are_named_in_one_of_five_ways() {
    let text =
        "[control]\nviewers = [\"user:ann\", \"group:ops\", \"gid:7\"]\noperators = [\"uid:1000\"]\nadmins = []\n";
    let control = good(text).control;
    assert_eq!(control.viewers, [Who::User("ann".into()), Who::Group("ops".into()), Who::Gid(7)]);
    assert_eq!((control.operators, control.admins), (vec![Who::Uid(1000)], vec![]));
    for nobody in ["ann", "owner:x", "user:", "uid:-1", "uid:x", "gid:4294967296", ""] {
        let found = only(&format!("[control]\nviewers = [\"owner\", {nobody:?}]\n"));
        assert_eq!(found, (2, "control.viewers".into()), "{nobody}");
    }
}
