using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>Decisions on commands of operators that change a virtual host's own document.</summary>
internal static class SettingsDecision
{
    /// <summary>Returns the settings after a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="settings">The settings.</param>
    /// <param name="users">The users.</param>
    /// <returns>The same instance if nothing changes.</returns>
    /// <exception cref="AmqpRefusedException">The command names a user that does not exist.</exception>
    /// <exception cref="FormatException">A value is not allowed; the message names it.</exception>
    public static VirtualHostSettings Apply(VirtualHostAdministration command, VirtualHostSettings settings, UserDirectory users)
    {
        switch (command)
        {
            case PutVirtualHost put:
                return settings with { Description = put.Description, Tags = put.Tags, DefaultQueueType = put.DefaultQueueType };
            case SetQueueLimit { MaxQueues: < 0 }:
                throw new DefinitionsException("value: a limit of queues must be 0 or more.");
            case SetQueueLimit limit:
                return settings with { MaxQueues = limit.MaxQueues };
            case SetConnectionLimit { MaxConnections: < 0 }:
                throw new DefinitionsException("value: a limit of connections must be 0 or more.");
            case SetConnectionLimit limit:
                return settings with { MaxConnections = limit.MaxConnections };
            case SetPermissions set:
                return settings.With(set.User, Current(settings, set.User, users) with
                {
                    Configure = set.Configure,
                    Write = set.Write,
                    Read = set.Read,
                });
            case ClearPermissions clear:
                return !settings.Permissions.ContainsKey(clear.User) ? settings
                    : settings with { Permissions = settings.Permissions.Remove(clear.User) };
            case SetTopicPermission set:
                Demand(nameof(TopicPermission.Write), set.Permission.Write);
                Demand(nameof(TopicPermission.Read), set.Permission.Read);
                var current = Current(settings, set.User, users);
                return settings.With(set.User, current with { Topics = current.Topics.SetItem(set.Exchange, set.Permission) });
            case ClearTopicPermission clear:
                return !settings.Permissions.TryGetValue(clear.User, out var known) ? settings : settings.With(clear.User, known with
                {
                    Topics = clear.Exchange is null ? known.Topics.Clear() : known.Topics.Remove(clear.Exchange),
                });
            case SetPolicy set:
                foreach (var (key, value) in set.Policy.Definition.Fields)
                {
                    if (PolicyKeys.FaultOf(key, value) is { } fault)
                        throw new DefinitionsException($"definition.{key} {fault}.");
                }
                var next = With(settings, set.IsOperator, policies => policies.SetItem(set.Policy.Name, set.Policy));
                next.Policies.DemandRoom(settings.Policies);
                return next;
            case ClearPolicy clear:
                return !PoliciesOf(settings, clear.IsOperator).ContainsKey(clear.Name) ? settings
                    : With(settings, clear.IsOperator, policies => policies.Remove(clear.Name));
            default:
                throw new ArgumentException($"The command {command.GetType().Name} concerns no virtual host's settings.", nameof(command));
        }
    }

    /// <summary>Returns the settings with a user's permissions.</summary>
    public static VirtualHostSettings With(this VirtualHostSettings settings, string user, UserPermissions permissions) =>
        settings with { Permissions = settings.Permissions.SetItem(user, permissions) };

    private static UserPermissions Current(VirtualHostSettings settings, string user, UserDirectory users)
    {
        var id = users.FindUser(user)?.Id ?? throw new AmqpRefusedException(AmqpRefusal.NotFound($"user '{user}'"));
        // Those of an earlier user of the name do not count.
        return settings.Permissions.GetValueOrDefault(user) is { } known && known.UserId == id ? known
            : new UserPermissions { UserId = id };
    }

    private static void Demand(string name, string pattern)
    {
        // Names take the place of the variables later; the rest must be a pattern now.
        try
        {
            SafePattern.Parse(pattern);
        }
        catch (FormatException wrong)
        {
            throw new DefinitionsException($"{name.ToLowerInvariant()}: {wrong.Message}");
        }
    }

    private static ImmutableSortedDictionary<string, Policy> PoliciesOf(VirtualHostSettings settings, bool isOperator) =>
        isOperator ? settings.Policies.OperatorPolicies : settings.Policies.Policies;

    private static VirtualHostSettings With(VirtualHostSettings settings, bool isOperator,
        Func<ImmutableSortedDictionary<string, Policy>, ImmutableSortedDictionary<string, Policy>> change)
    {
        var next = change(PoliciesOf(settings, isOperator));
        return settings with
        {
            Policies = isOperator ? settings.Policies with { OperatorPolicies = next } : settings.Policies with { Policies = next },
        };
    }
}
