//! Groups: set, remove, list.

use freehold_store::groups;
use freehold_types::{GroupId, Page, PageRequest, TenantId};

use crate::identity::{Group, group_to_row};
use crate::{Control, Error};

impl Control {
    /// Makes a group, or gives it another parent and other limits; in force
    /// when this returns.
    pub async fn put_group(&self, group: Group) -> Result<Group, Error> {
        let _turn = self.turn.lock().await;
        let before = {
            let registry = self.registry();
            registry.check_group(&group)?;
            registry.group(&group.tenant, &group.id).cloned()
        };
        let row = group_to_row(&group, self.env.now());
        self.commit(match &before {
            Some(_) => groups::update(&row),
            None => groups::insert(&row),
        })
        .await?;

        let mut registry = self.registry();
        registry.put_group(group.clone());
        let moved = before.is_some_and(|before| before.parent != group.parent);
        if moved {
            let principals = registry.principals()?;
            self.publish(principals);
        }
        Ok(group)
    }

    /// Removes a group that has no groups and no live keys in it. Its budgets
    /// go with it.
    pub async fn remove_group(&self, tenant: &TenantId, id: &GroupId) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.group(tenant, id)?;
        let (in_use, budgets) = {
            let registry = self.registry();
            (registry.group_in_use(tenant, id), registry.budgets_of_group(tenant, id))
        };
        if in_use {
            return Err(Error::GroupInUse(id.clone()));
        }
        let mut unit = groups::delete(tenant, id);
        for budget in &budgets {
            unit.append(freehold_store::budgets::delete(tenant, *budget));
        }
        self.commit(unit).await?;
        let mut registry = self.registry();
        for budget in budgets {
            registry.remove_budget(budget);
        }
        registry.remove_group(tenant, id);
        Ok(())
    }

    /// One group.
    pub fn group(&self, tenant: &TenantId, id: &GroupId) -> Result<Group, Error> {
        let group = self.registry().group(tenant, id).cloned();
        group.ok_or_else(|| Error::NoGroup(tenant.clone(), id.clone()))
    }

    /// A tenant's groups by name; a page goes on after a name.
    pub fn groups(&self, tenant: &TenantId, page: &PageRequest) -> Page<Group> {
        let registry = self.registry();
        let found = registry
            .groups()
            .filter(|group| group.tenant == *tenant)
            .filter(|group| page.after.as_ref().is_none_or(|after| group.id.as_str() > &**after))
            .take(super::one_more(page));
        page.page(found.cloned().collect(), |group: &Group| group.id.to_string())
    }
}
