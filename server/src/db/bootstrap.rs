//! Makes a database ours: roles, migrations, and the pool that speaks as `portreeve_app`.
