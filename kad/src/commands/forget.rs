//! `kad forget`

use super::Peer;
use crate::args::Forget;
use crate::error::Failure;
use crate::output;

pub(crate) async fn run(args: Forget) -> Result<(), Failure> {
    let key = args.key.resolve()?;
    let Peer::Daemon(client) = Peer::of(&args.target).await? else {
        return Err(Failure::Setting(
            "only the daemon that published a value can forget it: leave --bootstrap out".into(),
        ));
    };
    let forgotten = client.forget(key)?;
    if args.output.json {
        output::json(&forgotten)?;
    }
    match forgotten.values {
        _ if args.output.json && forgotten.values > 0 => Ok(()),
        0 => Err(Failure::NotFound(format!("{key} is published by this daemon"))),
        values => {
            output::line(&format!("{values} values are no longer published; their copies lapse with their lifetime"))
        }
    }
}
