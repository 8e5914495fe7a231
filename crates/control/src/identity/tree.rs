//! Groups in groups: a tree for each tenant.

use std::collections::BTreeMap;

use freehold_types::{GroupId, TenantId};

use crate::Limits;

/// How many groups an exchange may be in at once, one in the other.
pub(crate) const DEPTH_MAX: usize = 8;

/// A named set of keys, and of groups with their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose.
    pub tenant: TenantId,
    /// Its name, one of a kind within the tenant.
    pub id: GroupId,
    /// The group that it is in.
    pub parent: Option<GroupId>,
    /// For all its keys together.
    pub limits: Limits,
}

/// All groups, by tenant and name.
pub(crate) type Groups = BTreeMap<(TenantId, GroupId), Group>;

/// A place in the tree that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A group that is named is not there.
    #[error("the tenant `{0}` has no group `{1}`")]
    Missing(TenantId, GroupId),
    /// A group would be inside itself.
    #[error("the group `{0}` would be inside itself")]
    Cycle(GroupId),
    /// Too many groups inside each other.
    #[error("groups nest at most {DEPTH_MAX} deep, and `{0}` would be deeper")]
    TooDeep(GroupId),
}

/// A group and those above it, from the inside out.
pub(crate) fn chain(
    groups: &Groups,
    tenant: &TenantId,
    group: Option<&GroupId>,
) -> Result<Vec<GroupId>, TreeError> {
    let mut chain: Vec<GroupId> = Vec::new();
    let mut next = group;
    while let Some(id) = next {
        if chain.contains(id) {
            return Err(TreeError::Cycle(id.clone()));
        }
        if chain.len() == DEPTH_MAX {
            return Err(TreeError::TooDeep(chain.swap_remove(0)));
        }
        let Some(found) = groups.get(&(tenant.clone(), id.clone())) else {
            return Err(TreeError::Missing(tenant.clone(), id.clone()));
        };
        chain.push(id.clone());
        next = found.parent.as_ref();
    }
    Ok(chain)
}

/// Whether all groups of a tenant have a place once `group` is as given.
pub(crate) fn check(groups: &Groups, group: &Group) -> Result<(), TreeError> {
    let tenant = &group.tenant;
    let mut after: Groups = groups
        .iter()
        .filter(|((of, _), _)| of == tenant)
        .map(|(key, group)| (key.clone(), group.clone()))
        .collect();
    after.insert((tenant.clone(), group.id.clone()), group.clone());
    // Its own chain first: an error then names the group that is asked for.
    chain(&after, tenant, Some(&group.id))?;
    after.keys().try_for_each(|(_, id)| chain(&after, tenant, Some(id)).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> GroupId {
        GroupId::new(name).unwrap()
    }

    fn group(name: &str, parent: Option<&str>) -> Group {
        Group {
            tenant: TenantId::main(),
            id: id(name),
            parent: parent.map(id),
            limits: Limits::default(),
        }
    }

    fn insert(groups: &mut Groups, group: Group) -> Result<(), TreeError> {
        check(groups, &group)?;
        groups.insert((group.tenant.clone(), group.id.clone()), group);
        Ok(())
    }

    #[test]
    fn a_chain_goes_from_the_inside_out() {
        let mut groups = Groups::new();
        insert(&mut groups, group("a", None)).unwrap();
        insert(&mut groups, group("b", Some("a"))).unwrap();
        insert(&mut groups, group("c", Some("b"))).unwrap();
        let main = TenantId::main();
        assert_eq!(chain(&groups, &main, Some(&id("c"))), Ok(vec![id("c"), id("b"), id("a")]));
        assert_eq!(chain(&groups, &main, None), Ok(vec![]));
        let other = TenantId::new("other").unwrap();
        assert!(matches!(chain(&groups, &other, Some(&id("c"))), Err(TreeError::Missing(..))));
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let mut groups = Groups::new();
        assert!(matches!(
            insert(&mut groups, group("a", Some("ghost"))),
            Err(TreeError::Missing(..))
        ));
        assert_eq!(insert(&mut groups, group("a", Some("a"))), Err(TreeError::Cycle(id("a"))));
        insert(&mut groups, group("a", None)).unwrap();
        insert(&mut groups, group("b", Some("a"))).unwrap();
        assert_eq!(insert(&mut groups, group("a", Some("b"))), Err(TreeError::Cycle(id("a"))));
    }

    #[test]
    fn depth_is_bounded_also_for_those_below() {
        let mut groups = Groups::new();
        insert(&mut groups, group("g1", None)).unwrap();
        for n in 2..=DEPTH_MAX {
            let parent = format!("g{}", n - 1);
            insert(&mut groups, group(&format!("g{n}"), Some(&parent))).unwrap();
        }
        let deepest = format!("g{DEPTH_MAX}");
        assert_eq!(
            insert(&mut groups, group("g9", Some(&deepest))),
            Err(TreeError::TooDeep(id("g9")))
        );
        insert(&mut groups, group("top", None)).unwrap();
        assert!(matches!(
            insert(&mut groups, group("g1", Some("top"))),
            Err(TreeError::TooDeep(_))
        ));
    }
}
