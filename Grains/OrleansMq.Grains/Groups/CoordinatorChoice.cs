using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Grains.Groups;

/// <summary>What a broker has to do with a group.</summary>
internal enum GroupHolding
{
    /// <summary>It does not answer.</summary>
    Unknown = 0,
    /// <summary>Nothing.</summary>
    Absent = 1,
    /// <summary>It coordinates it, or has begun to.</summary>
    Coordinates = 2,
    /// <summary>It stops: it gives its groups up and takes none.</summary>
    Leaving = 3,
}

/// <summary>Which broker is to coordinate a group.</summary>
internal static class CoordinatorChoice
{
    /// <summary>The broker that coordinates it stays. Otherwise, of those that answer and may be given work, the one that the group's id
    /// and the broker's number make first: every broker comes to the same choice, and groups spread evenly.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="self">The broker that asks, for when there is no other.</param>
    /// <param name="live">Who is not declared dead.</param>
    /// <param name="isActive">Who may be given new work.</param>
    /// <param name="holdingOf">What each answered.</param>
    public static int Decide(string groupId, int self, IReadOnlyCollection<int> live, Func<int, bool> isActive,
        Func<int, GroupHolding> holdingOf)
    {
        // Two that say so are there for a moment when one has claimed and the other has not yet heard of it: the same one for everybody who
        // asks.
        var coordinating = live.Where(broker => holdingOf(broker) == GroupHolding.Coordinates);
        var able = live.Where(broker => isActive(broker) && holdingOf(broker) == GroupHolding.Absent);
        return coordinating.Concat(able)
            .OrderBy(broker => holdingOf(broker) == GroupHolding.Coordinates ? 0 : 1)
            .ThenByDescending(broker => Weight(groupId, broker))
            .Append(self).First();
    }

    // Rendezvous hashing: when a broker goes only its own groups get another one.
    private static ulong Weight(string groupId, int broker) => BinaryPrimitives.ReadUInt64LittleEndian(
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{broker}/{groupId}"))));
}
