//! `kad forget` and `kad delete`

use kad_http::api::{Forgotten, Removal};

use super::Peer;
use crate::args::Forget;
use crate::error::Failure;
use crate::output;

pub(crate) async fn run(args: Forget) -> Result<(), Failure> {
    let forgotten = take_back(&args, false).await?;
    if args.output.json {
        return output::json(&forgotten);
    }
    output::line(&format!("{} no longer republished; copies on other nodes expire", are(forgotten.values)))
}

pub(crate) async fn delete(args: Forget) -> Result<(), Failure> {
    let forgotten = take_back(&args, true).await?;
    if args.output.json {
        return output::json(&forgotten);
    }
    let Forgotten { values, deleted, undeleted, .. } = forgotten;
    if let Some(why) = undeleted {
        output::remark(&format!("no holder received the delete: {why}"));
    }
    if deleted > 0 {
        output::line(&format!("{} deleted, with all copies", are(deleted)))?;
    }
    if values > deleted {
        let left = values - deleted;
        output::line(&format!("{} only forgotten: copies on other nodes expire", are(left)))?;
    }
    Ok(())
}

/// Forgets or deletes the daemon's values; fails if there are none.
async fn take_back(args: &Forget, everywhere: bool) -> Result<Forgotten, Failure> {
    let key = args.key.resolve()?;
    let Peer::Daemon(client) = Peer::of(&args.target).await? else {
        return Err(Failure::Setting(
            "only the daemon that published a value can forget or delete it: omit --bootstrap".into(),
        ));
    };
    let removal = Removal { everywhere, timeout: Some(args.target.timeout) };
    client.remove(key, &removal)
}

fn are(values: usize) -> String {
    format!("{} {}", output::count(values, "value", "values"), if values == 1 { "is" } else { "are" })
}
