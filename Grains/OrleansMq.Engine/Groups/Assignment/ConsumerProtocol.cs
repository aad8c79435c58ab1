using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;

namespace OrleansMq.Groups.Assignment;

/// <summary>
/// The bytes in which classic consumers tell their leader what they want and are told what they get (the protocol type <c>consumer</c>).
/// Kafka's schemas ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3; a newer version only adds fields at the
/// end and is read as version 3.
/// <code>
/// subscription: version i16 | topics [string] | user data bytes?
///               1: | owned [topic string, [partition i32]]   2: | generation i32   3: | rack string?
/// assignment:   version i16 | partitions [topic string, [partition i32]] | user data bytes?
/// string: length i16, UTF-8;  bytes: length i32;  []: count i32;  ?: a length of -1 is null
/// </code>
/// Bytes come from other people's programs: what is wrong with them is returned, never thrown.
/// </summary>
public static class ConsumerProtocol
{
    /// <summary>The protocol type of groups of consumers.</summary>
    public const string ProtocolType = "consumer";

    /// <summary>The highest version that is written.</summary>
    public const short HighestVersion = 3;

    /// <summary>A subscription in bytes. What the version has no field for is left out.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A version that there is not.</exception>
    /// <exception cref="ArgumentException">A name above 32,767 bytes.</exception>
    public static byte[] Encode(ConsumerSubscription subscription, short version = HighestVersion)
    {
        var writer = Begin(version);
        writer.WriteInt32(subscription.Topics.Count);
        foreach (var topic in subscription.Topics)
            writer.WriteNullableString(topic);
        writer.WriteNullableBytes(subscription.UserData);
        if (version >= 1)
            writer.WriteTopicPartitions(subscription.OwnedPartitions);
        if (version >= 2)
            writer.WriteInt32(subscription.Generation);
        if (version >= 3)
            writer.WriteNullableString(subscription.RackId);
        return writer.ToArray();
    }

    /// <summary>An assignment in bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A version that there is not.</exception>
    /// <exception cref="ArgumentException">A name above 32,767 bytes.</exception>
    public static byte[] Encode(ConsumerAssignment assignment, short version = HighestVersion)
    {
        var writer = Begin(version);
        writer.WriteTopicPartitions(assignment.Partitions);
        writer.WriteNullableBytes(assignment.UserData);
        return writer.ToArray();
    }

    /// <summary>The version that bytes of this protocol begin with; -1 where there are too few of them.</summary>
    public static short VersionOf(ReadOnlySpan<byte> bytes) =>
        bytes.Length < 2 ? (short)-1 : System.Buffers.Binary.BinaryPrimitives.ReadInt16BigEndian(bytes);

    /// <summary>Reads a subscription.</summary>
    /// <param name="bytes">A member's metadata; <see cref="ConsumerSubscription.UserData"/> keeps pointing into it.</param>
    /// <param name="subscription">What it says.</param>
    /// <param name="error">What is wrong with the bytes, and where.</param>
    public static bool TryDecodeSubscription(ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out ConsumerSubscription? subscription,
        [NotNullWhen(false)] out string? error)
    {
        var reader = new ProtocolReader(bytes);
        var version = ReadVersion(ref reader);
        var topics = new List<string>();
        for (var count = reader.ReadCount("topics", leastBytes: 2); count > 0 && reader.Error is null; count--)
            topics.Add(reader.ReadString("topics"));
        var userData = reader.ReadNullableBytes("userData");
        var read = new ConsumerSubscription
        {
            Topics = topics,
            UserData = userData,
            OwnedPartitions = version >= 1 ? reader.ReadTopicPartitions("ownedPartitions") : [],
            Generation = version >= 2 ? reader.ReadInt32("generationId") : ConsumerSubscription.NoGeneration,
            RackId = version >= 3 ? reader.ReadNullableString("rackId") : null,
        };
        error = reader.Error;
        subscription = error is null ? read : null;
        return error is null;
    }

    /// <summary>Reads an assignment. No bytes at all are an empty one: so a coordinator answers a member that its leader left
    /// out.</summary>
    /// <param name="bytes">As <see cref="SyncGroupResult.Assignment"/> has them; <see cref="ConsumerAssignment.UserData"/> keeps pointing
    /// into it.</param>
    /// <param name="assignment">What it says.</param>
    /// <param name="error">What is wrong with the bytes, and where.</param>
    public static bool TryDecodeAssignment(ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out ConsumerAssignment? assignment,
        [NotNullWhen(false)] out string? error)
    {
        error = null;
        assignment = new ConsumerAssignment([]);
        if (bytes.IsEmpty)
            return true;
        var reader = new ProtocolReader(bytes);
        _ = ReadVersion(ref reader);
        var partitions = reader.ReadTopicPartitions("assignedPartitions");
        var userData = reader.ReadNullableBytes("userData");
        error = reader.Error;
        assignment = error is null ? new ConsumerAssignment(partitions, userData) : null;
        return error is null;
    }

    private static ProtocolWriter Begin(short version)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(version);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(version, HighestVersion);
        var writer = new ProtocolWriter();
        writer.WriteInt16(version);
        return writer;
    }

    private static short ReadVersion(ref ProtocolReader reader)
    {
        var version = reader.ReadInt16("version");
        if (version < 0)
            reader.Fail("version", $"is {version}");
        return version;
    }
}
