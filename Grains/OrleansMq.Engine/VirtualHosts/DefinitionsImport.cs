using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>What an import writes to one virtual host: its own document first, then the shards.</summary>
/// <param name="Settings">Its document.</param>
/// <param name="IsNew">Whether there was none.</param>
/// <param name="Topology">The decision on its exchanges, queues and bindings.</param>
internal sealed record HostImport(VirtualHostSettings Settings, bool IsNew, TopologyDecision Topology);

/// <summary>
/// What an import of definitions writes: users first, then the virtual hosts. Nothing is deleted. Users, permissions and policies that
/// exist are replaced, and both limits of a virtual host where the definitions limit it; exchanges, queues, bindings and the other settings
/// of virtual hosts that exist stay as they are. All is decided before anything is written, so that definitions with an error change
/// nothing; after a crash the import is repeated.
/// </summary>
internal sealed record DefinitionsImport
{
    /// <summary>The users that are new or changed.</summary>
    public ImmutableArray<UserState> Users { get; private init; } = [];

    /// <summary>The virtual hosts that are new or changed, by name.</summary>
    public ImmutableArray<HostImport> Hosts { get; private init; } = [];

    /// <summary>Decides on an import.</summary>
    /// <param name="definitions">The definitions.</param>
    /// <param name="users">The users by name.</param>
    /// <param name="hosts">The virtual hosts by name.</param>
    /// <param name="newId">Returns a new random id.</param>
    /// <exception cref="FormatException">An entry is not allowed, or names what does not exist; the message names its place.</exception>
    public static DefinitionsImport Of(Definitions definitions, IReadOnlyDictionary<string, UserState> users,
        IReadOnlyDictionary<string, VirtualHostState> hosts, Func<long> newId)
    {
        var allUsers = users.ToImmutableDictionary(StringComparer.Ordinal);
        var changed = new List<UserState>();
        foreach (var defined in definitions.Users)
        {
            var user = (allUsers.GetValueOrDefault(defined.Name) ?? new UserState { Name = defined.Name, Id = newId() }) with
            {
                PasswordHash = defined.PasswordHash,
                HashingAlgorithm = defined.HashingAlgorithm,
                Tags = defined.Tags,
            };
            allUsers = allUsers.SetItem(user.Name, user);
            changed.Add(user);
        }
        var names = definitions.VirtualHosts.Select(host => host.Name).Union(
            [.. definitions.Permissions.Select(item => item.VirtualHost), .. definitions.TopicPermissions.Select(item => item.VirtualHost),
                .. definitions.Policies.Select(item => item.VirtualHost), .. definitions.OperatorPolicies.Select(item => item.VirtualHost),
                .. definitions.Limits.Select(item => item.VirtualHost), .. definitions.Exchanges.Select(item => item.VirtualHost),
                .. definitions.Queues.Select(item => item.VirtualHost), .. definitions.Bindings.Select(item => item.VirtualHost)])
            .Order(StringComparer.Ordinal);
        return new DefinitionsImport
        {
            Users = [.. changed],
            Hosts = [.. names.Select(name => HostOf(name, definitions, allUsers, hosts.GetValueOrDefault(name), newId))],
        };
    }

    private static HostImport HostOf(string name, Definitions definitions, ImmutableDictionary<string, UserState> users,
        VirtualHostState? existing, Func<long> newId)
    {
        var defined = definitions.VirtualHosts.FirstOrDefault(host => host.Name == name);
        var settings = existing?.Settings ?? defined;
        if (settings is null)
            throw new DefinitionsException($"The virtual host '{name}' does not exist. Create it first, or add it to vhosts.");
        foreach (var item in definitions.Permissions.Where(item => item.VirtualHost == name))
            settings = WithPermissions(settings, item.Path, item.Value.User, users, permissions => permissions with
            {
                Configure = item.Value.Configure,
                Write = item.Value.Write,
                Read = item.Value.Read,
            });
        foreach (var item in definitions.TopicPermissions.Where(item => item.VirtualHost == name))
            settings = WithPermissions(settings, item.Path, item.Value.User, users, permissions => permissions with
            {
                Topics = permissions.Topics.SetItem(item.Value.Exchange, item.Value.Permission),
            });
        foreach (var item in definitions.Limits.Where(item => item.VirtualHost == name))
            settings = settings with { MaxConnections = item.Value.MaxConnections, MaxQueues = item.Value.MaxQueues };
        settings = settings with
        {
            Policies = new PolicySet
            {
                Policies = With(settings.Policies.Policies, definitions.Policies, name),
                OperatorPolicies = With(settings.Policies.OperatorPolicies, definitions.OperatorPolicies, name),
            }.DemandRoom(existing?.Settings.Policies ?? PolicySet.Empty),
        };
        var topology = existing?.Topology ?? VirtualHostTopology.Create(name);
        return new HostImport(settings, existing is null, TopologyOf(topology, definitions, settings.DefaultQueueType, newId));
    }

    private static VirtualHostSettings WithPermissions(VirtualHostSettings settings, string path, string name,
        ImmutableDictionary<string, UserState> users, Func<UserPermissions, UserPermissions> change)
    {
        if (!users.TryGetValue(name, out var user))
            throw new DefinitionsException($"{path}.user: the user '{name}' does not exist. Create it first, or add it to users.");
        var before = settings.Permissions.GetValueOrDefault(name);
        return settings with
        {
            Permissions = settings.Permissions.SetItem(name,
                change(before?.UserId == user.Id ? before : new UserPermissions { UserId = user.Id })),
        };
    }

    private static ImmutableSortedDictionary<string, Policy> With(ImmutableSortedDictionary<string, Policy> policies,
        ImmutableArray<Defined<Policy>> defined, string virtualHost) => policies.SetItems(defined
            .Where(item => item.VirtualHost == virtualHost).Select(item => KeyValuePair.Create(item.Value.Name, item.Value)));

    private static TopologyDecision TopologyOf(VirtualHostTopology topology, Definitions definitions, QueueType? defaultType,
        Func<long> newId)
    {
        var changes = new TopologyChanges(topology);
        foreach (var item in definitions.Exchanges.Where(item => item.VirtualHost == topology.Name))
        {
            if (changes.Next.FindExchange(item.Value.Name) is null)
                Add(item.Path, changes.Next.DeclareExchange(item.Value, newId()));
        }
        foreach (var item in definitions.Queues.Where(item => item.VirtualHost == topology.Name))
        {
            if (changes.Next.FindQueue(item.Value.Name) is null)
                Add(item.Path, changes.Next.DeclareQueue(item.Value, "", newId(), "", defaultType, mayBeReserved: true));
        }
        // Definitions may hold what every queue has: the binding from the default exchange under its name.
        foreach (var item in definitions.Bindings.Where(item => item.VirtualHost == topology.Name && item.Value.Source.Length > 0))
            Add(item.Path, changes.Next.Bind(item.Value, null));
        return changes.Edits.Count == 0 ? TopologyDecision.Keep(topology) : TopologyDecision.Accept(changes);

        void Add(string path, TopologyDecision decision)
        {
            if (decision.Refusal is { } refusal)
                throw new DefinitionsException($"{path}: {refusal.Text}.");
            foreach (var edit in decision.Edits)
                changes.Add(edit);
        }
    }
}
