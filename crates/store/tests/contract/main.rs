//! What every store must do, whatever database is behind it. Each check takes
//! the door; at the bottom, each database runs all checks. What only PostgreSQL
//! can do wrong is in `faults` and `nodes`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, their helpers included")]

mod aggregates;
mod chaos;
mod cut;
mod deletion;
mod door;
mod doubt;
mod faults;
mod forks;
mod fsck;
mod imports;
mod journal;
mod layout;
mod leases;
mod nodes;
mod projections;
mod samples;
mod session_secrets;
mod sessions;
mod spread;
mod sweeper;
mod tenant_keys;
mod together;

#[path = "../server/mod.rs"]
mod server;

use std::sync::Arc;

use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{Db, Unit, args};

/// Tables to try the door with. They are made beside it, for a unit holds no
/// DDL, and no DDL is the same for both.
const SQLITE_SCRATCH: [&str; 2] = [
    "CREATE TABLE scratch (name TEXT UNIQUE, n BIGINT)",
    "CREATE TABLE kinds (a BIGINT, b TEXT, c BLOB, d DOUBLE PRECISION)",
];
const POSTGRES_SCRATCH: &str = "
    CREATE TABLE scratch (name TEXT COLLATE \"C\" UNIQUE, n BIGINT);
    CREATE TABLE kinds (a BIGINT, b TEXT, c BYTEA, d DOUBLE PRECISION)";

/// Runs a check on a fresh SQLite store.
async fn on_sqlite(check: impl AsyncFn(&dyn Db)) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&SqliteOptions::new(folder.path())).unwrap();
    for sql in SQLITE_SCRATCH {
        let mut unit = Unit::new("create");
        unit.run(sql, args![]);
        store.write(unit).await.unwrap();
    }
    check(&spread::Looked(Arc::new(store))).await;
}

/// Runs a check on a fresh PostgreSQL store.
async fn on_postgres(check: impl AsyncFn(&dyn Db)) {
    let url = server::fresh_url().await;
    server::connect(&url).await.batch_execute(POSTGRES_SCRATCH).await.unwrap();
    let store = Arc::new(server::open(&url).await);
    check(&spread::Looked(Arc::clone(&store))).await;
    store.close().await;
}

/// Declares a test for each check and database.
macro_rules! contract {
    ($($module:ident :: $check:ident;)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $check() {
                    super::on_sqlite(super::$module::$check).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $check() {
                    super::on_postgres(super::$module::$check).await;
                }
            )*
        }
    };
}

contract! {
    door::every_type_comes_back_as_it_was_written;
    door::a_write_is_seen_by_the_read_after_it;
    door::a_failed_guard_undoes_its_unit_and_no_other;
    door::a_refused_statement_undoes_its_unit_and_no_other;
    door::all_that_is_under_way_together_takes_effect;
    door::a_unit_is_done_even_if_nobody_waits_for_it;
    door::of_many_who_race_for_one_row_one_wins;
    door::a_read_cannot_write;
    door::a_long_unit_is_whole_or_not_there;
    door::text_is_ordered_by_its_bytes;
    door::those_who_take_two_rows_in_turn_all_get_through;
    aggregates::keys_are_inserted_found_listed_and_revoked;
    aggregates::a_tenant_does_not_see_anothers;
    aggregates::groups_nest_and_hold_what_is_in_them;
    aggregates::a_group_is_not_taken_away_from_a_key_that_comes_into_it;
    aggregates::a_budgets_spending_adds_up_exactly;
    aggregates::what_many_spend_at_once_adds_up;
    aggregates::the_latest_period_is_what_a_restart_takes_up;
    aggregates::an_exchange_opens_and_closes_once;
    aggregates::a_close_needs_no_open_before_it;
    aggregates::an_open_that_comes_late_changes_nothing;
    aggregates::open_exchanges_are_settled_at_their_reservation;
    aggregates::usage_is_summed_by_what_is_asked_for;
    aggregates::lost_attempts_are_lines_of_their_own;
    aggregates::usage_is_narrowed_to_what_is_asked_for;
    aggregates::a_batch_in_doubt_may_be_sent_again;
    aggregates::exchanges_are_listed_newest_first_by_the_page;
    aggregates::what_is_old_is_forgotten_in_batches_and_stays_in_the_sums;
    imports::what_is_laid_is_found_by_nobody_until_it_is_a_session;
    imports::an_import_that_was_taken_over_does_nothing_more;
    imports::a_session_that_is_there_is_not_imported_over;
    imports::a_bundle_is_imported_or_refused_and_never_both;
    imports::an_import_that_is_given_up_leaves_nothing;
    imports::imports_that_nobody_goes_on_with_are_found;
    session_secrets::a_secret_is_kept_under_its_name_in_its_session;
    sessions::a_session_begins_once_with_its_first_events;
    sessions::sessions_are_listed_newest_first_by_the_page;
    sessions::heads_of_many_are_read_at_once;
    sessions::a_tenant_neither_sees_nor_touches_anothers_sessions;
    sessions::a_sealed_session_takes_nothing_until_its_cell_gives_it_back;
    sessions::a_cursor_of_a_lost_timeline_hears_what_is_common;
    journal::events_come_back_as_they_were_written_and_by_range;
    journal::of_two_writers_in_one_place_exactly_one_wins;
    journal::a_writer_of_a_past_epoch_is_refused;
    journal::a_failed_guard_undoes_the_events_and_all_projections;
    journal::an_append_in_doubt_is_found_by_its_id;
    journal::what_is_too_large_is_refused_and_adds_nothing;
    journal::the_newest_snapshot_is_kept;
    journal::many_who_write_leave_no_gap_and_lose_nothing;
    leases::of_many_who_claim_a_session_one_gets_it;
    leases::nothing_of_an_old_holder_takes_effect_after_a_claim;
    leases::a_session_is_not_let_go_of_while_work_comes_in;
    leases::due_sessions_are_found_tenant_by_tenant;
    leases::what_a_dead_node_held_is_found;
    leases::a_node_that_beats_is_not_forgotten;
    projections::a_timer_fires_once;
    projections::due_timers_are_found_tenant_by_tenant;
    projections::the_inbox_is_listed_by_age_and_an_answer_counts_once;
    projections::a_request_is_accepted_once;
    tenant_keys::a_tenant_has_one_key_whoever_makes_it;
    tenant_keys::a_new_master_key_takes_all_keys_or_none;
    tenant_keys::no_key_is_made_under_a_master_that_went;
    deletion::a_deleted_session_is_gone_at_once;
    deletion::sweeping_takes_all_of_a_session_and_nothing_of_others;
    deletion::an_append_and_a_deletion_never_both_hold;
    forks::a_fork_reads_on_where_its_ancestors_stop;
    forks::forks_of_forks_end_at_their_bound;
    forks::a_fork_is_of_a_session_that_is_there_and_has_come_so_far;
    forks::a_parents_events_stay_until_the_last_fork_is_deleted;
    forks::a_hold_of_a_fork_that_is_gone_is_found_from_its_parent;
    forks::in_whatever_order_a_fork_that_is_there_is_whole;
    forks::a_fork_and_a_deletion_at_once_leave_all_or_nothing;
    together::a_change_of_each_kind_is_counted_once;
    together::open_exchanges_are_found_by_their_node;
    together::who_shares_a_budget_has_seen_all_others;
    together::of_many_who_share_at_once_none_is_forgotten;
    sweeper::only_what_is_old_and_waits_for_nothing_expires;
    fsck::what_is_whole_is_found_whole;
    fsck::each_damage_of_a_journal_is_found;
    fsck::each_damage_of_a_projection_is_found;
    chaos::whatever_nodes_try_at_once_the_journal_is_one_story;
}
