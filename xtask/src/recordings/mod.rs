//! Recorded real traffic.
mod exchange;
mod folder;
mod frames;
mod scope;
mod yaml;

pub(crate) fn run(root: &std::path::Path) -> anyhow::Result<()> {
    let mut counts: std::collections::BTreeMap<String, usize> = Default::default();
    for f in folder::files(root)? {
        for r in f.load(root) {
            let k = match &r.exchange {
                Ok(e) => format!("{:?} {}", scope::of(e), e.is_sse()),
                Err(e) => format!("unreadable {e:#}"),
            };
            if std::env::var("V").is_ok() {
                if let Ok(e) = &r.exchange {
                    eprintln!("{}\t{:?}\t{}\t{}", r.name, scope::of(e), e.path(), e.answer.len());
                }
            }
            if std::env::var("DUMP").is_ok() {
                if let Ok(e) = &r.exchange {
                    println!(
                        "{}",
                        serde_json::to_string(&serde_json::json!([
                            r.name,
                            e.url,
                            e.status,
                            e.request.as_ref().map(|b| String::from_utf8_lossy(b)),
                            String::from_utf8_lossy(&e.answer)
                        ]))
                        .unwrap()
                    );
                }
            }
            *counts.entry(format!("{} {k}", r.provider)).or_default() += 1;
        }
    }
    for (k, v) in counts {
        eprintln!("{v}\t{k}");
    }
    Ok(())
}
