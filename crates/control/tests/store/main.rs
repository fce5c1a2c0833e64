//! What every store must do, and what the embedded one must survive.
//!
//! `properties` and `lasting` are written against `dyn ConfigStore` and played with each kind of store; `embedded` is about
//! the file, `database` about PostgreSQL, which `server` starts.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod child;
mod database;
mod embedded;
mod files;
mod folder;
mod lasting;
mod properties;
mod server;

use seawall_control::ConfigStore;
use seawall_control::store::{Postgres, Sqlite};

use folder::Folder;

/// A place for a store: opening it twice is two ways to the same store.
type Open<'p> = &'p (dyn Fn() -> Box<dyn ConfigStore> + Sync);

/// Each property, played with the store that `$place` opens.
macro_rules! properties_of {
    ($store:ident, $with:path; $($about:ident: $($property:ident)*;)*) => {
        mod $store {
            $($(
                #[test]
                fn $property() {
                    $with(crate::$about::$property);
                }
            )*)*
        }
    };
}

pub(crate) fn with_sqlite(property: impl Fn(Open<'_>)) {
    let folder = Folder::new();
    let path = folder.path("control.db");
    property(&move || Box::new(Sqlite::open(&path).expect("opens")));
}

pub(crate) fn with_postgres(property: impl Fn(Open<'_>)) {
    let Some(server) = server::Server::shared() else {
        return;
    };
    let (_, url) = server.database();
    property(&move || Box::new(Postgres::open(&url).expect("opens")));
}

/// The properties of all stores, played with this one.
macro_rules! properties_of_a_store {
    ($store:ident, $with:path) => {
        properties_of! {
            $store, $with;
            properties:
                numbers_are_dense_and_parents_point_back
                a_head_that_moved_is_a_conflict_that_shows_it
                two_writers_lose_nothing_of_each_other
                an_append_is_whole_or_nothing
                the_same_request_again_has_no_second_effect
                an_approval_goes_with_the_rollout_that_begins
                appends_that_are_made_together_are_there_all_or_none
                rollouts_go_with_one_that_began_before_in_the_same_append
                what_is_deleted_is_restored_by_one_call
                a_rollback_is_a_new_version_with_the_old_document
                answers_come_in_pages
                what_is_too_large_is_refused
                an_event_with_a_number_of_the_stores_is_refused;
            lasting:
                a_rollout_goes_from_step_to_step_and_ends_once
                one_rollout_of_a_chain_at_a_time
                what_stands_is_the_newest_that_was_not_undone
                all_that_is_derived_can_be_made_again_of_the_log
                the_log_outlives_its_reader
                all_of_it_can_be_brought_into_another_store;
            files:
                contents_of_files_are_kept_with_their_documents
                a_file_that_is_missing_is_found_where_its_document_is;
        }
    };
}

properties_of_a_store!(sqlite, crate::with_sqlite);
properties_of_a_store!(postgres, crate::with_postgres);
