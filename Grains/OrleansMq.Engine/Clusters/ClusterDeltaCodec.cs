using System.Collections.Immutable;
using System.Text;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// The encoding of a <see cref="ClusterDelta"/>. Numbers have variable length, 7 bits per byte. Text is UTF-8 after its length in bytes;
/// optional text is preceded by a byte 0 (missing) or 1.
/// <code>
/// "OMC" version=1
/// from to controller+1 flags(1: auto rebalance, 2: catching up is limited, 4: intentions) bytes-a-second if limited
/// n broker*     id flags(1: alive, 2: draining) rack? host? http? kafka? orleans? version directory
/// n id*         brokers that are gone
/// n topic*      id(16) name status replication-factor serving n (key value)* n partition*
/// n id(16)*     topics that are gone
/// n changed*    topic-id(16) number partition
/// n id(16)*     topics to delete from disk
/// n id(16)*     deleted topics to forget
/// n (id text)*  the brokers with named Kafka listeners; left out where nothing follows, and unknown to older versions, which stop before
/// n (id(16) intended-replication-factor)*  the topics that are to have more replicas; left out where flag 4 is not set
/// partition     leader+1 epoch n replica* n isr* n elr* n target*
/// </code>
/// A later version of the program writes a later version of the format only once every broker of the cluster can read it.
/// </summary>
internal static class ClusterDeltaCodec
{
    private const byte Version = 1;

    /// <summary>Encodes a delta.</summary>
    public static ReadOnlyMemory<byte> Write(ClusterDelta delta)
    {
        var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream, Encoding.UTF8);
        writer.Write("OMC"u8);
        writer.Write(Version);
        writer.Write7BitEncodedInt64(delta.From);
        writer.Write7BitEncodedInt64(delta.To);
        writer.Write7BitEncodedInt(delta.Controller + 1);
        ImmutableArray<ImageTopic> growing = [.. delta.Topics.Where(static topic => topic.IntendedReplicationFactor != 0)];
        writer.Write((byte)((delta.AutoRebalance ? 1 : 0) | (delta.CatchUpMaxBytesPerSecond > 0 ? 2 : 0) | (growing.IsEmpty ? 0 : 4)));
        if (delta.CatchUpMaxBytesPerSecond > 0)
            writer.Write7BitEncodedInt64(delta.CatchUpMaxBytesPerSecond);
        WriteAll(writer, delta.Brokers, WriteBroker);
        WriteAll(writer, delta.RemovedBrokers, static (to, id) => to.Write7BitEncodedInt(id));
        WriteAll(writer, delta.Topics, WriteTopic);
        WriteAll(writer, delta.RemovedTopics, WriteId);
        WriteAll(writer, delta.Partitions, WriteChanged);
        WriteAll(writer, delta.Deleted, WriteId);
        WriteAll(writer, delta.Forgotten, WriteId);
        ImmutableArray<ImageBroker> named = [.. delta.Brokers.Where(static broker => broker.Registration.KafkaListeners is not null)];
        if (!named.IsEmpty || !growing.IsEmpty)
            WriteAll(writer, named, WriteListeners);
        if (!growing.IsEmpty)
            WriteAll(writer, growing, WriteIntention);
        return stream.GetBuffer().AsMemory(0, (int)stream.Length);
    }

    /// <summary>Decodes a delta.</summary>
    /// <exception cref="InvalidDataException">The bytes are not a delta, or of a later version.</exception>
    public static ClusterDelta Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 4 || !bytes.StartsWith("OMC"u8))
            throw new InvalidDataException("The bytes are not a change of the cluster's metadata.");
        if (bytes[3] != Version)
            throw new InvalidDataException(
                $"The cluster's metadata has version {bytes[3]}, this broker reads version {Version}: update it.");
        using var reader = new BinaryReader(new MemoryStream(bytes[4..].ToArray()), Encoding.UTF8);
        try
        {
            var (from, to, controller) = (reader.Read7BitEncodedInt64(), reader.Read7BitEncodedInt64(), reader.Read7BitEncodedInt() - 1);
            var flags = reader.ReadByte();
            var limit = (flags & 2) != 0 ? reader.Read7BitEncodedInt64() : 0;
            var delta = new ClusterDelta(from, to, controller, (flags & 1) != 0, ReadAll(reader, ReadBroker), ReadAll(reader, ReadNumber),
                ReadAll(reader, ReadTopic),
                ReadAll(reader, ReadId), ReadAll(reader, ReadChanged), ReadAll(reader, ReadId), ReadAll(reader, ReadId), limit);
            var hasIntentions = (flags & 4) != 0;
            if (hasIntentions || reader.BaseStream.Position < reader.BaseStream.Length)
                delta = delta with { Brokers = WithListeners(delta.Brokers, ReadAll(reader, ReadListeners)) };
            if (hasIntentions)
                delta = delta with { Topics = WithIntentions(delta.Topics, ReadAll(reader, ReadIntention)) };
            return delta;
        }
        catch (Exception exception) when (exception is EndOfStreamException or FormatException)
        {
            throw new InvalidDataException("A change of the cluster's metadata is truncated or damaged.", exception);
        }
    }

    private static void WriteBroker(BinaryWriter to, ImageBroker broker)
    {
        var registration = broker.Registration;
        to.Write7BitEncodedInt(registration.BrokerId);
        to.Write((byte)((broker.IsAlive ? 1 : 0) | (broker.IsDraining ? 2 : 0)));
        WriteOptional(to, registration.Rack);
        WriteOptional(to, registration.Host);
        WriteOptional(to, registration.Http);
        WriteOptional(to, registration.Kafka);
        WriteOptional(to, registration.Orleans);
        to.Write(registration.Version);
        to.Write(registration.DataDirectory);
    }

    private static ImageBroker ReadBroker(BinaryReader from)
    {
        var id = from.Read7BitEncodedInt();
        var flags = from.ReadByte();
        return new ImageBroker(new BrokerRegistration
        {
            BrokerId = id,
            Rack = ReadOptional(from),
            Host = ReadOptional(from),
            Http = ReadOptional(from),
            Kafka = ReadOptional(from),
            Orleans = ReadOptional(from),
            Version = from.ReadString(),
            DataDirectory = from.ReadString(),
        }, (flags & 1) != 0, (flags & 2) != 0);
    }

    private static void WriteListeners(BinaryWriter to, ImageBroker broker)
    {
        to.Write7BitEncodedInt(broker.Registration.BrokerId);
        to.Write(broker.Registration.KafkaListeners!);
    }

    private static KeyValuePair<int, string> ReadListeners(BinaryReader from) => new(from.Read7BitEncodedInt(), from.ReadString());

    private static ImmutableArray<ImageBroker> WithListeners(ImmutableArray<ImageBroker> brokers,
        ImmutableArray<KeyValuePair<int, string>> listeners)
    {
        var byBroker = listeners.ToDictionary();
        return [.. brokers.Select(broker => byBroker.TryGetValue(broker.Registration.BrokerId, out var known)
            ? broker with { Registration = broker.Registration with { KafkaListeners = known } } : broker)];
    }

    private static void WriteIntention(BinaryWriter to, ImageTopic topic)
    {
        WriteId(to, topic.TopicId);
        to.Write7BitEncodedInt(topic.IntendedReplicationFactor);
    }

    private static KeyValuePair<Guid, int> ReadIntention(BinaryReader from) => new(ReadId(from), from.Read7BitEncodedInt());

    private static ImmutableArray<ImageTopic> WithIntentions(ImmutableArray<ImageTopic> topics,
        ImmutableArray<KeyValuePair<Guid, int>> intentions)
    {
        var byTopic = intentions.ToDictionary();
        return [.. topics.Select(topic => byTopic.TryGetValue(topic.TopicId, out var intended)
            ? topic with { IntendedReplicationFactor = (short)intended } : topic)];
    }

    private static void WriteTopic(BinaryWriter to, ImageTopic topic)
    {
        WriteId(to, topic.TopicId);
        to.Write(topic.Name);
        to.Write((byte)topic.Status);
        to.Write7BitEncodedInt(topic.ReplicationFactor);
        to.Write7BitEncodedInt(topic.Serving);
        to.Write7BitEncodedInt(topic.Configs.Count);
        foreach (var (key, value) in topic.Configs)
        {
            to.Write(key);
            to.Write(value);
        }
        WriteAll(to, topic.Partitions, WritePartition);
    }

    private static ImageTopic ReadTopic(BinaryReader from)
    {
        var id = ReadId(from);
        var name = from.ReadString();
        var status = (TopicStatus)from.ReadByte();
        var replicationFactor = (short)from.Read7BitEncodedInt();
        var serving = from.Read7BitEncodedInt();
        var configs = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        for (var left = from.Read7BitEncodedInt(); left > 0; left--)
            configs[from.ReadString()] = from.ReadString();
        return new ImageTopic(name, id, status, replicationFactor, configs.ToImmutable(), ReadAll(from, ReadPartition), serving);
    }

    private static void WriteChanged(BinaryWriter to, ChangedPartition changed)
    {
        WriteId(to, changed.Key.TopicId);
        to.Write7BitEncodedInt(changed.Key.Partition);
        WritePartition(to, changed.Partition);
    }

    private static ChangedPartition ReadChanged(BinaryReader from) =>
        new(new ReplicaKey(ReadId(from), from.Read7BitEncodedInt()), ReadPartition(from));

    private static void WritePartition(BinaryWriter to, ImagePartition partition)
    {
        to.Write7BitEncodedInt(partition.Leader + 1);
        to.Write7BitEncodedInt(partition.LeaderEpoch);
        WriteAll(to, partition.Replicas, static (writer, id) => writer.Write7BitEncodedInt(id));
        WriteAll(to, partition.Isr, static (writer, id) => writer.Write7BitEncodedInt(id));
        WriteAll(to, partition.Elr, static (writer, id) => writer.Write7BitEncodedInt(id));
        WriteAll(to, partition.Target, static (writer, id) => writer.Write7BitEncodedInt(id));
    }

    private static ImagePartition ReadPartition(BinaryReader from) => new(from.Read7BitEncodedInt() - 1, from.Read7BitEncodedInt(),
        ReadAll(from, ReadNumber), ReadAll(from, ReadNumber), ReadAll(from, ReadNumber), ReadAll(from, ReadNumber));

    private static void WriteId(BinaryWriter to, Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        to.Write(bytes);
    }

    private static Guid ReadId(BinaryReader from)
    {
        Span<byte> bytes = stackalloc byte[16];
        from.BaseStream.ReadExactly(bytes);
        return new Guid(bytes, bigEndian: true);
    }

    private static int ReadNumber(BinaryReader from) => from.Read7BitEncodedInt();

    private static void WriteOptional(BinaryWriter to, string? text)
    {
        to.Write(text is not null);
        if (text is not null)
            to.Write(text);
    }

    private static string? ReadOptional(BinaryReader from) => from.ReadBoolean() ? from.ReadString() : null;

    private static void WriteAll<T>(BinaryWriter to, ImmutableArray<T> items, Action<BinaryWriter, T> write)
    {
        to.Write7BitEncodedInt(items.Length);
        foreach (var item in items)
            write(to, item);
    }

    private static ImmutableArray<T> ReadAll<T>(BinaryReader from, Func<BinaryReader, T> read)
    {
        var count = from.Read7BitEncodedInt();
        if (count < 0 || count > from.BaseStream.Length - from.BaseStream.Position) // Every item has at least one byte.
            throw new FormatException($"{count} items do not fit into the remaining bytes.");
        var items = ImmutableArray.CreateBuilder<T>(count);
        for (var left = count; left > 0; left--)
            items.Add(read(from));
        return items.MoveToImmutable();
    }
}
