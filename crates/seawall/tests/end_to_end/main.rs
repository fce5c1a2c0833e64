//! The real binary in front of real sites, spoken to by clients that know nothing of it: curl, node's HTTP/2, `ws`,
//! grpc-js. What `make run ORIGIN=…` promises is held here, from start to stop.
//!
//! Not here: what the wire may and may not carry (`scenarios/`, played by the harness), what it costs (`bench/`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod another_program;
mod api;
mod bodies;
mod buckets;
mod certificates;
mod check;
mod circles;
mod clients;
mod compress;
mod contents;
mod database;
mod doctor;
mod drills;
mod emergency;
mod expiry;
mod faults;
mod files;
mod first_process;
mod fleet;
mod guard;
mod hand_over;
mod haproxy;
mod history;
mod http3;
mod http3_upgrades;
mod http_cache;
mod imports;
mod keeping;
mod life;
mod links;
mod load;
mod locations;
mod many_zones;
mod moves;
mod observe;
mod on_demand;
mod orders;
mod origin;
mod origins;
mod overruns;
mod own_certificates;
mod own_name;
mod owners;
mod packages;
mod parents;
mod protocols;
mod public_ports;
mod purges;
mod rebuilt;
mod reload;
mod rights;
mod rollouts;
mod wide;
// The PostgreSQL that the store's own tests start, and where they keep it.
#[path = "../../../control/tests/store/folder.rs"]
mod folder;
#[path = "../../../control/tests/store/server.rs"]
#[allow(dead_code, reason = "the store's own tests use the rest")]
mod server;
mod service_manager;
mod site;
mod slices;
mod spare;
mod strikes;
mod supervision;
mod supervisor;
mod tools;
mod trouble;
mod tunnels;
mod up;
mod upgrading;
