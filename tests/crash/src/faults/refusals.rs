//! Requests that come too late, twice, or for something else.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::desk::{Checks, Desk, body, plan};
use crate::http::Message;

/// The idempotent tool needs an approval.
const APPROVAL: &str = "[tools.pay.tools.plain]\nretry = \"unknown\"\n";

pub(super) fn run(program: &Path, folder: &Path, checks: &mut Checks) -> Result<()> {
    let desk = Desk::open(program, folder, "")?;
    let session = desk.create(&plan("first", &[]))?;
    desk.ended(&session, 1)?;
    offsets(&desk, &session, checks)?;
    twice(&desk, &session, checks)?;
    answers(&desk, checks)?;
    foreign(&desk, checks)?;
    let at = format!("/v1/freehold/sessions/{session}");
    checks.so("and it serves on", desk.get(&at)?.status() == 200, "it does not");
    Ok(())
}

fn offsets(desk: &Desk, session: &str, checks: &mut Checks) -> Result<()> {
    let at = |rest: &str| format!("/v1/freehold/sessions/{session}{rest}");
    let past = desk.get(&at("/stream?after=99999"))?;
    checks.refused("a stream after what there is", &past, 409, "cursor.lost");
    let other = desk.get(&at("/stream?after=7-1"))?;
    checks.refused("a cursor of another timeline", &other, 409, "cursor.lost");
    let bad = desk.get(&at("/stream?after=-1-x"))?;
    checks.refused("a cursor that is none", &bad, 400, "invalid_request");
    let page = desk.get(&at("/journal?after=99999"))?;
    let empty = page.status() == 200 && page.json()["data"] == json!([]);
    checks.so("a page after what there is: empty", empty, page.json());
    for (what, path) in [("fork", "/fork"), ("rewind", "/rewind")] {
        let answer = desk.ask("POST", &at(path), "", &json!({ "at": 99_999 }))?;
        let told = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        let good = (400..500).contains(&answer.status()) && !told.is_empty();
        checks.so(&format!("a {what} after what there is: {told}"), good, answer.json());
    }
    Ok(())
}

fn twice(desk: &Desk, session: &str, checks: &mut Checks) -> Result<()> {
    let path = format!("/v1/freehold/sessions/{session}/input");
    let say = |text: &str| desk.ask("POST", &path, "key-1", &json!({ "input": text }));
    let text = plan("second", &["i"]).text();
    let (one, two) = (say(&text)?, say(&text)?);
    let receipts = [&one, &two].map(|answer| answer.json()["first"].clone());
    let same = receipts[0] == receipts[1] && !receipts[0].is_null();
    checks.so("the same input twice: one receipt", same, two.json());
    let other = say("job another do - end 3")?;
    checks.refused("its key with another input", &other, 409, "idempotency.reused");
    desk.ended(session, 2)?;
    let kept = desk.kept(session, &["second"])?;
    checks.so("it is in the journal once", kept, "it is not");
    let paid = desk.effects(&plan("second", &[]));
    checks.so("and took effect once", paid == 1, paid);
    let key = "key-2";
    let made = [(); 2].map(|()| {
        desk.ask("POST", "/v1/freehold/sessions", key, &body(&plan("third", &[])))
            .map(|answer| answer.json()["id"].clone())
    });
    let [Ok(one), Ok(two)] = made else { anyhow::bail!("no session is made") };
    checks.so("the same session twice: one session", one == two && !one.is_null(), &two);
    Ok(())
}

fn answers(desk: &Desk, checks: &mut Checks) -> Result<()> {
    let session = desk.create(&plan("asks", &["c"]))?;
    let call = desk.event(&session, "tool_started")?["fact"]["call"].clone();
    let path = format!("/v1/freehold/sessions/{session}/answers");
    let answer = |call: &Value| -> Result<Message> {
        let answers = json!({ "answers": [{ "call": call, "content": "yes" }] });
        desk.ask("POST", &path, "", &answers)
    };
    let mut other = call.as_str().unwrap_or_default().to_owned();
    let last = if other.pop() == Some('0') { '1' } else { '0' };
    other.push(last);
    let unknown = answer(&other.into())?;
    checks.refused("an answer to no call", &unknown, 409, "session.not_waiting");
    let told = answer(&call)?;
    checks.so("an answer to a call that waits", told.status() == 200, told.json());
    desk.ended(&session, 1)?;
    let late = answer(&call)?;
    checks.refused("the same once more, when it is over", &late, 409, "session.not_waiting");
    Ok(())
}

fn foreign(desk: &Desk, checks: &mut Checks) -> Result<()> {
    let none = format!("sess_{:032x}", 7);
    for rest in ["", "/journal", "/stream", "/approvals"] {
        let answer = desk.get(&format!("/v1/freehold/sessions/{none}{rest}"))?;
        let what = format!("GET a session that is not there{rest}");
        checks.refused(&what, &answer, 404, "session.not_found");
    }
    let answer = desk.get("/v1/responses/resp_nothing")?;
    checks.refused("a response that is not there", &answer, 404, "session.not_found");
    Ok(())
}

/// An approval whose arguments are not those that were shown; and one that is
/// decided twice.
pub(super) fn approvals(program: &Path, folder: &Path, checks: &mut Checks) -> Result<()> {
    let ask = format!("{APPROVAL}approval = {{ by = \"anyone\", hours = 1 }}\n");
    let desk = Desk::prepare(program, folder, "")?;
    let file = folder.join("freehold.toml");
    let config = std::fs::read_to_string(&file)?;
    std::fs::write(&file, config.replace(APPROVAL, &ask))?;
    desk.node.start()?;
    let session = desk.create(&plan("approved", &["p"]))?;
    desk.event(&session, "approval_asked")?;
    let asked = desk.get(&format!("/v1/freehold/sessions/{session}/approvals"))?.json();
    let (id, hash) = (asked["data"][0]["id"].clone(), asked["data"][0]["arguments_hash"].clone());
    let path =
        format!("/v1/freehold/sessions/{session}/approvals/{}", id.as_str().unwrap_or_default());
    let decide = |verdict: &str, hash: &Value| {
        desk.ask("POST", &path, "", &json!({ "verdict": verdict, "arguments_hash": hash }))
    };
    let changed = decide("approve", &json!("0".repeat(64)))?;
    checks.refused("an approval of other arguments", &changed, 409, "approval.changed");
    checks.so("nothing was paid", desk.effects(&plan("approved", &[])) == 0, "it was");
    let yes = decide("approve", &hash)?;
    checks.so("an approval of what was shown", yes.status() == 200, yes.json());
    desk.ended(&session, 1)?;
    let again = decide("approve", &hash)?;
    let over = again.status() == 200 || again.json()["code"] == "approval.over";
    checks.so("the same decision again changes nothing", over, again.json());
    let other = decide("deny", &hash)?;
    checks.refused("another decision", &other, 409, "approval.over");
    let paid = desk.effects(&plan("approved", &[]));
    checks.so("it was paid once", paid == 1, paid);
    Ok(())
}
