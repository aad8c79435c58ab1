using System.Buffers.Binary;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>Requests of every key and version of the Kafka port: valid ones, random ones and extreme ones, whole or broken.</summary>
internal sealed class KafkaFrames
{
    /// <summary>The bytes of key, version and correlation id in front of each request.</summary>
    public const int HeadBytes = 8;

    // Encoding takes longer than all else, so most frames begin as one of these.
    private const int PreparedOfEach = 3;

    private static readonly (short Key, short Version)[] AllKinds = [.. from api in ApiTable.All
                                                                        from version in Enumerable.Range(api.MinDecodedVersion,
                                                                            api.MaxVersion - api.MinDecodedVersion + 1)
                                                                        select ((short)api.Key, (short)version)];

    private static readonly byte[][][] Prepared = [.. AllKinds.Select(static kind => Enumerable.Range(0, PreparedOfEach)
        .SelectMany(number => new[]
        {
            Encode(kind, new RandomValues(new Random(number))),
            Encode(kind, new ExtremeValues(new Random(number))),
        }).ToArray())];

    private readonly byte[][] _samples;

    /// <param name="orders">The id of the topic <c>orders</c>.</param>
    public KafkaFrames(Guid orders) =>
        _samples = [.. AllKinds.Select(kind => Encode(kind, new SampleValues(kind.Key, kind.Version, orders)))];

    /// <summary>The keys and versions.</summary>
    public static IReadOnlyList<(short Key, short Version)> Kinds => AllKinds;

    /// <summary>Returns a frame without its length, most often a broken one.</summary>
    /// <param name="random">Decides.</param>
    /// <param name="correlationId">The id in its header, unless that is broken, too.</param>
    public byte[] Next(Random random, int correlationId)
    {
        var kind = random.Next(AllKinds.Length);
        if (random.Next(100) == 0)
            return Mutator.Noise(random, 400);
        var frame = random.Next(32) switch
        {
            0 => Encode(AllKinds[kind], new RandomValues(random)),
            1 => Encode(AllKinds[kind], new ExtremeValues(random)),
            < 16 => (byte[])_samples[kind].Clone(),
            _ => (byte[])Prepared[kind][random.Next(Prepared[kind].Length)].Clone(),
        };
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(4), correlationId);
        // Key and version are rarely changed, or most frames would end there.
        return random.Next(8) == 0 ? frame : Mutator.Mutate(frame, random, random.Next(20) == 0 ? 0 : HeadBytes);
    }

    private static byte[] Encode((short Key, short Version) kind, IFieldValues values) =>
        new MessageEncoder(values).Request(Schema.Request(kind.Key), kind.Version, 1, "fuzz");
}
