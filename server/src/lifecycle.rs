//! Start, background tasks, and the two-phase end: stop accepting and drain, then stop Postgres.
