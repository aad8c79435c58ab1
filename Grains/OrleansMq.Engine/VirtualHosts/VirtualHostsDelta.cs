using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>What makes an image of all virtual hosts out of an earlier one. The owner sends it to the brokers.</summary>
internal sealed record VirtualHostsDelta
{
    /// <summary>The version that it applies to; 0 for a whole image, which applies to any earlier one.</summary>
    public long From { get; init; }

    /// <summary>The version of the result.</summary>
    public long To { get; init; }

    /// <summary>All users; null if none has changed.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<UserState>? Users { get; init; }

    /// <summary>The virtual hosts that are new or changed.</summary>
    public ImmutableArray<VirtualHostDelta> Hosts { get; init; } = [];

    /// <summary>The names of those that are deleted.</summary>
    public ImmutableArray<string> Deleted { get; init; } = [];

    /// <summary>Returns the difference of two images.</summary>
    /// <param name="before">The earlier one; null for the whole of the later one.</param>
    /// <param name="after">The later one.</param>
    public static VirtualHostsDelta Between(VirtualHostsImage? before, VirtualHostsImage after)
    {
        var known = before ?? VirtualHostsImage.Empty;
        return new VirtualHostsDelta
        {
            From = known.Version,
            To = after.Version,
            Users = ReferenceEquals(known.Users, after.Users) ? null : [.. after.Users.ByName.Values],
            Hosts = [.. after.Hosts.Values.Where(host => !ReferenceEquals(known.Hosts.GetValueOrDefault(host.Name), host))
                .Select(host => VirtualHostDelta.Between(known.Hosts.GetValueOrDefault(host.Name), host))],
            Deleted = [.. known.Hosts.Keys.Where(name => !after.Hosts.ContainsKey(name))],
        };
    }

    /// <summary>Returns the later image.</summary>
    /// <param name="before">The image of version <see cref="From"/>; any where that is 0.</param>
    /// <param name="changed">Receives what changes, in order.</param>
    public VirtualHostsImage ApplyTo(VirtualHostsImage before, ICollection<VirtualHostChange> changed)
    {
        var isWhole = From == 0;
        var hosts = isWhole ? VirtualHostsImage.Empty.Hosts : before.Hosts.RemoveRange(Deleted);
        foreach (var name in isWhole ? before.Hosts.Keys.Except(Hosts.Select(static host => host.Name)) : Deleted)
            changed.Add(new VirtualHostChange(name, before.Hosts.GetValueOrDefault(name), null));
        foreach (var delta in Hosts)
        {
            var known = before.Hosts.GetValueOrDefault(delta.Name);
            var host = delta.ApplyTo(isWhole ? null : known);
            hosts = hosts.SetItem(host.Name, host);
            changed.Add(new VirtualHostChange(host.Name, known, host) { Edits = isWhole || known is null ? null : delta.Edits });
        }
        var users = Users is not { } all ? before.Users
            : new UserDirectory(UserDirectory.Empty.ByName.SetItems(all.Select(static user => KeyValuePair.Create(user.Name, user))));
        return new VirtualHostsImage(To, users, hosts);
    }

    /// <summary>Returns the delta as JSON.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, VirtualHostJson.Default.VirtualHostsDelta);

    /// <summary>Reads a delta.</summary>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static VirtualHostsDelta Parse(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostsDelta) ?? throw new JsonException("It is null.");
        }
        catch (JsonException damaged)
        {
            throw new InvalidDataException($"The changes of virtual hosts cannot be read: {damaged.Message}", damaged);
        }
    }
}

/// <summary>What makes an image of a virtual host out of an earlier one, or out of an empty one.</summary>
/// <param name="Name">The virtual host.</param>
/// <param name="Version">The version of the result.</param>
/// <param name="Settings">Its settings; null if they have not changed.</param>
/// <param name="Edits">What changes, in order.</param>
internal sealed record VirtualHostDelta(string Name, long Version, VirtualHostSettings? Settings, ImmutableArray<TopologyEdit> Edits)
{
    /// <summary>Returns the difference of two images.</summary>
    public static VirtualHostDelta Between(VirtualHostImage? before, VirtualHostImage after) => new(after.Name, after.Version,
        ReferenceEquals(before?.Settings, after.Settings) ? null : after.Settings,
        [.. after.Topology.EditsSince(before?.Topology ?? VirtualHostTopology.Create(after.Name))]);

    /// <summary>Returns the later image.</summary>
    /// <param name="before">The earlier one; null for none.</param>
    /// <exception cref="InvalidDataException">The settings are missing.</exception>
    public VirtualHostImage ApplyTo(VirtualHostImage? before)
    {
        var settings = Settings ?? before?.Settings ?? throw new InvalidDataException($"The virtual host '{Name}' has no settings.");
        var topology = Edits.Aggregate(before?.Topology ?? VirtualHostTopology.Create(Name), static (made, edit) => made.Apply(edit));
        var routes = before is null ? RoutingTable.Of(topology, settings.Policies.AlternateOf)
            : Edits.Aggregate(before.Routes, static (made, edit) => made.Apply(edit));
        if (before is not null && Settings is not null)
            routes = routes.WithAlternates(settings.Policies.AlternateOf);
        return new VirtualHostImage(Name, Version, settings, topology, routes);
    }
}
