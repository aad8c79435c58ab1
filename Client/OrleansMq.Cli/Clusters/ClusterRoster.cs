using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>A silo of a local cluster.</summary>
/// <param name="BrokerId">Its number, from 1.</param>
/// <param name="Rack">Its rack, or null.</param>
/// <param name="Removed">It was removed from the cluster: it is not started any more, and its number is not given again.</param>
internal sealed record RosterEntry(int BrokerId, string? Rack,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] bool Removed = false);

/// <summary>Who belongs to a local cluster: what a next start in the same directory takes up.</summary>
/// <param name="ClusterId">The cluster's name in its database.</param>
/// <param name="Brokers">Its silos, by broker id.</param>
internal sealed record ClusterRoster(string ClusterId, IReadOnlyList<RosterEntry> Brokers)
{
    /// <summary>As many silos as somebody who has not said gets: the least that survives the death of one.</summary>
    public const int DefaultSilos = 3;

    /// <summary>Those that are to run.</summary>
    [JsonIgnore]
    public IReadOnlyList<RosterEntry> Present => [.. Brokers.Where(broker => !broker.Removed)];

    /// <summary>The roster with the silos that are asked for; those that are there stay as they are.</summary>
    /// <param name="silos">How many in total; null for those that are there, or <see cref="DefaultSilos"/>.</param>
    /// <param name="racks">Racks for the new ones, one after the other by broker id; none where empty.</param>
    /// <exception cref="CommandFailedException">Fewer are asked for than there are.</exception>
    public ClusterRoster With(int? silos, IReadOnlyList<string> racks)
    {
        var present = Present.Count;
        var total = silos ?? (present > 0 ? present : DefaultSilos);
        if (total < present)
        {
            throw CommandFailedException.Usage(
                $"--silos {total}: this cluster has {present}, and each may hold the only copy of something. "
                + $"Start it with --silos {present} (or without), and take one away by 'omq broker drain' and 'omq broker remove'.");
        }
        var next = this;
        while (next.Present.Count < total)
            next = next.Plus(racks.Count == 0 ? null : racks[next.Brokers.Count % racks.Count]);
        return next;
    }

    /// <summary>The roster after those silos were removed from the cluster that are not among its brokers any more; this very one where
    /// none was.</summary>
    /// <param name="ended">The silos that have served and do not run.</param>
    /// <param name="registered">The cluster's brokers, also those that are dead.</param>
    public ClusterRoster WithoutRemoved(IReadOnlyCollection<int> ended, IReadOnlyCollection<int> registered)
    {
        bool IsGone(RosterEntry entry) => !entry.Removed && ended.Contains(entry.BrokerId) && !registered.Contains(entry.BrokerId);
        return Brokers.Any(IsGone)
            ? this with { Brokers = [.. Brokers.Select(entry => IsGone(entry) ? entry with { Removed = true } : entry)] } : this;
    }

    /// <summary>The roster with one more silo, of the next free broker id.</summary>
    public ClusterRoster Plus(string? rack) =>
        this with { Brokers = [.. Brokers, new RosterEntry(Brokers.Count == 0 ? 1 : Brokers.Max(broker => broker.BrokerId) + 1, rack)] };
}

/// <summary>How the roster is stored.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true)]
[JsonSerializable(typeof(ClusterRoster))]
internal sealed partial class RosterJson : JsonSerializerContext;
