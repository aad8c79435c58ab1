using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>All virtual hosts and users as their owner has stored them, with what is not durable. Never changes.</summary>
/// <param name="Version">Rises with every change, also where another owner takes over: see <see cref="FirstVersion"/>.</param>
/// <param name="Users">The users.</param>
/// <param name="Hosts">The virtual hosts by name.</param>
internal sealed record VirtualHostsImage(long Version, UserDirectory Users, ImmutableSortedDictionary<string, VirtualHostImage> Hosts)
{
    private const int EpochBits = 32;

    /// <summary>The image of a broker that has none.</summary>
    public static VirtualHostsImage Empty { get; } = new(0, UserDirectory.Empty,
        ImmutableSortedDictionary.Create<string, VirtualHostImage>(StringComparer.Ordinal));

    /// <summary>Returns the version that all images of an owner exceed, and no image of an owner before it.</summary>
    public static long FirstVersion(int epoch) => (long)epoch << EpochBits;
}
