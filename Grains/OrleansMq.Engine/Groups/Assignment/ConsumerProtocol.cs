using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;

namespace OrleansMq.Groups.Assignment;

/// <summary>
/// The encoding of subscriptions and assignments that classic consumers exchange with their leader (the protocol type <c>consumer</c>).
/// Kafka's schemas ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3. A newer version only appends fields, and
/// is read as version 3.
/// <code>
/// subscription: version i16 | topics [string] | user data bytes?
///               1: | owned [topic string, [partition i32]]   2: | generation i32   3: | rack string?
/// assignment:   version i16 | partitions [topic string, [partition i32]] | user data bytes?
/// string: length i16, UTF-8;  bytes: length i32;  []: count i32;  ?: a length of -1 is null
/// </code>
/// The bytes come from arbitrary clients: faults are returned, never thrown.
/// </summary>
internal static class ConsumerProtocol
{
    /// <summary>The protocol type of consumer groups.</summary>
    public const string ProtocolType = "consumer";

    /// <summary>The highest version written.</summary>
    public const short HighestVersion = 3;

    /// <summary>Encodes a subscription. Fields that the version does not have are omitted.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The version does not exist.</exception>
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

    /// <summary>Encodes an assignment.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The version does not exist.</exception>
    /// <exception cref="ArgumentException">A name above 32,767 bytes.</exception>
    public static byte[] Encode(ConsumerAssignment assignment, short version = HighestVersion)
    {
        var writer = Begin(version);
        writer.WriteTopicPartitions(assignment.Partitions);
        writer.WriteNullableBytes(assignment.UserData);
        return writer.ToArray();
    }

    /// <summary>Returns the version at the start of the bytes; -1 if there are too few bytes.</summary>
    public static short VersionOf(ReadOnlySpan<byte> bytes) =>
        bytes.Length < 2 ? (short)-1 : System.Buffers.Binary.BinaryPrimitives.ReadInt16BigEndian(bytes);

    /// <summary>Decodes a subscription.</summary>
    /// <param name="bytes">A member's metadata. <see cref="ConsumerSubscription.UserData"/> refers to this memory.</param>
    /// <param name="subscription">The subscription.</param>
    /// <param name="error">The fault and its position.</param>
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

    /// <summary>Decodes an assignment. Empty bytes are an empty assignment, which a coordinator sends to a member that its leader
    /// omitted.</summary>
    /// <param name="bytes">The bytes in <see cref="SyncGroupResult.Assignment"/>. <see cref="ConsumerAssignment.UserData"/> refers to this
    /// memory.</param>
    /// <param name="assignment">The assignment.</param>
    /// <param name="error">The fault and its position.</param>
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
