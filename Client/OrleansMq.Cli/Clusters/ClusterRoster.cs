using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>A silo of a local cluster.</summary>
/// <param name="BrokerId">Its broker id, from 1.</param>
/// <param name="Rack">Its rack, or null.</param>
/// <param name="Removed">Whether it was removed from the cluster: it is not started any more, and its id is not reused.</param>
internal sealed record RosterEntry(int BrokerId, string? Rack,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] bool Removed = false);

/// <summary>The silos of a local cluster, stored for the next start in the same directory.</summary>
/// <param name="ClusterId">The cluster's name in its database.</param>
/// <param name="Brokers">Its silos, ordered by broker id.</param>
internal sealed record ClusterRoster(string ClusterId, IReadOnlyList<RosterEntry> Brokers)
{
    /// <summary>The default number of silos: the minimum that survives the loss of one.</summary>
    public const int DefaultSilos = 3;

    /// <summary>The silos to run.</summary>
    [JsonIgnore]
    public IReadOnlyList<RosterEntry> Present => [.. Brokers.Where(broker => !broker.Removed)];

    /// <summary>Returns the roster extended to the requested number of silos; existing ones stay unchanged.</summary>
    /// <param name="silos">The total number; null for the existing ones, or <see cref="DefaultSilos"/>.</param>
    /// <param name="racks">Racks for the new silos, assigned in turn by broker id; empty for none.</param>
    /// <exception cref="CommandFailedException">The number is lower than that of the existing silos.</exception>
    public ClusterRoster With(int? silos, IReadOnlyList<string> racks)
    {
        var present = Present.Count;
        var total = silos ?? (present > 0 ? present : DefaultSilos);
        if (total < present)
        {
            throw CommandFailedException.Usage(
                $"--silos {total}: this cluster has {present}, and each may hold the only copy of something. "
                + $"Start it with --silos {present} (or without), and remove one with 'omq broker drain' and 'omq broker remove'.");
        }
        var next = this;
        while (next.Present.Count < total)
            next = next.Plus(racks.Count == 0 ? null : racks[next.Brokers.Count % racks.Count]);
        return next;
    }

    /// <summary>Returns the roster with ended silos marked as removed if the cluster no longer registers them. Returns this instance if
    /// there is none.</summary>
    /// <param name="ended">The silos that were ready once and do not run.</param>
    /// <param name="registered">The cluster's registered brokers, including dead ones.</param>
    public ClusterRoster WithoutRemoved(IReadOnlyCollection<int> ended, IReadOnlyCollection<int> registered)
    {
        bool IsGone(RosterEntry entry) => !entry.Removed && ended.Contains(entry.BrokerId) && !registered.Contains(entry.BrokerId);
        return Brokers.Any(IsGone)
            ? this with { Brokers = [.. Brokers.Select(entry => IsGone(entry) ? entry with { Removed = true } : entry)] } : this;
    }

    /// <summary>Returns the roster with one more silo, with the next free broker id.</summary>
    public ClusterRoster Plus(string? rack) =>
        this with { Brokers = [.. Brokers, new RosterEntry(Brokers.Count == 0 ? 1 : Brokers.Max(broker => broker.BrokerId) + 1, rack)] };
}

/// <summary>The JSON of the stored roster.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true)]
[JsonSerializable(typeof(ClusterRoster))]
internal sealed partial class RosterJson : JsonSerializerContext;
