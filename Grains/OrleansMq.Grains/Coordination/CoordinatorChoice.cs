using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Grains.Coordination;

/// <summary>What a broker has to do with a coordinator.</summary>
internal enum CoordinatorHolding
{
    /// <summary>It does not answer.</summary>
    Unknown = 0,
    /// <summary>Nothing.</summary>
    Absent = 1,
    /// <summary>It runs the coordinator, or has begun to.</summary>
    Coordinates = 2,
    /// <summary>It stops: it gives its coordinators up and takes none.</summary>
    Leaving = 3,
}

/// <summary>Which broker is to run a coordinator.</summary>
internal static class CoordinatorChoice
{
    /// <summary>The broker that runs the coordinator keeps it. Otherwise rendezvous hashing over the id and the broker's number picks one
    /// of those that answer and may be given work. Every broker comes to the same choice, and coordinators spread evenly.</summary>
    /// <param name="id">The id of what is coordinated.</param>
    /// <param name="self">The broker that asks, for when there is no other.</param>
    /// <param name="live">The brokers that are not declared dead.</param>
    /// <param name="isActive">Whether a broker may be given new work.</param>
    /// <param name="holdingOf">What each broker answered.</param>
    public static int Decide(string id, int self, IReadOnlyCollection<int> live, Func<int, bool> isActive,
        Func<int, CoordinatorHolding> holdingOf)
    {
        // Two brokers answer so for a moment, when one has claimed and the other has not learned of it: all that ask choose the same one.
        var coordinating = live.Where(broker => holdingOf(broker) == CoordinatorHolding.Coordinates);
        var able = live.Where(broker => isActive(broker) && holdingOf(broker) == CoordinatorHolding.Absent);
        return coordinating.Concat(able)
            .OrderBy(broker => holdingOf(broker) == CoordinatorHolding.Coordinates ? 0 : 1)
            .ThenByDescending(broker => Weight(id, broker))
            .Append(self).First();
    }

    // Rendezvous hashing: when a broker goes, only its own coordinators move.
    private static ulong Weight(string id, int broker) => BinaryPrimitives.ReadUInt64LittleEndian(
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{broker}/{id}"))));
}
