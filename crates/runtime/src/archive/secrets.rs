//! Credentials of sessions, sealed with their keys.

use freehold_store::session_secrets;
use freehold_types::{BoxFuture, Secret, SessionId, TenantId, Unit};

use super::Archive;
use crate::event::{Hash, Name, Note};
use crate::seal::Place;
use crate::sessions::Error;
use crate::tools::Secrets;

impl Secrets for Archive {
    fn put(
        &self,
        tenant: &TenantId,
        session: SessionId,
        name: &Name,
        secret: Secret,
    ) -> BoxFuture<'static, Result<(), Note>> {
        let name = name.clone();
        self.with(tenant, session, move |reader| async move {
            let place = Place::Secret(Hash::of(name.as_str().as_bytes()));
            let (env, plain) = (reader.archive.env.as_ref(), secret.reveal().as_bytes());
            let sealed = reader.key.seal(env, reader.id.session, place, plain);
            let mut unit = Unit::new("session_secrets.put");
            let (tenant, session) = (&reader.id.tenant, reader.id.session);
            session_secrets::put(&mut unit, tenant, session, name.as_str(), sealed.into());
            reader.archive.db().write(unit).await?;
            Ok(())
        })
    }

    fn get(
        &self,
        tenant: &TenantId,
        session: SessionId,
        name: &Name,
    ) -> BoxFuture<'static, Result<Option<Secret>, Note>> {
        let name = name.clone();
        self.with(tenant, session, move |reader| async move {
            let (tenant, session) = (&reader.id.tenant, reader.id.session);
            let db = reader.archive.db();
            let sealed = session_secrets::get(db, tenant, session, name.as_str()).await?;
            let Some(sealed) = sealed else { return Ok(None) };
            let place = Place::Secret(Hash::of(name.as_str().as_bytes()));
            let plain = reader.key.open(session, place, &sealed);
            let plain = plain.map_err(|error| Error::Content(error.to_string()))?;
            let text = String::from_utf8(plain);
            let text = text.map_err(|_| Error::Content("a credential that is no text".into()))?;
            Ok(Some(Secret::new(text)))
        })
    }

    fn delete(
        &self,
        tenant: &TenantId,
        session: SessionId,
    ) -> BoxFuture<'static, Result<(), Note>> {
        self.with(tenant, session, move |reader| async move {
            let unit = session_secrets::delete(&reader.id.tenant, reader.id.session);
            reader.archive.db().write(unit).await?;
            Ok(())
        })
    }
}
