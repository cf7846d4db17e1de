//! The private Postgres cluster in DIR/postgres.
