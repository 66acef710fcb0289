//! Commands: settings as people write them, daemons elsewhere, exit statuses.
