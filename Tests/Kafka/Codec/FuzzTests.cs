using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Tests.Kafka.Schemas;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Randomly mutated frames: nothing crashes, hangs, or takes more memory than the frame's size allows.</summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    private const int Frames = 1_000_000;
    // The maximum of allocated bytes for one byte of a frame: an array element of one byte becomes an object with a few strings and arrays.
    private const int MaxAllocatedPerByte = 128;
    private const int MaxAllocatedBeside = 4096;

    [Fact]
    public void Million_mutated_frames_do_no_harm()
    {
        var random = new Random(20260101);
        var bases = Bases();
        var (reached, perKey) = (0, new SortedDictionary<ApiKey, int>());
        var longest = TimeSpan.Zero;
        Memory<byte> frame = new byte[64 * 1024];
        for (var round = 0; round < Frames; round++)
        {
            var original = bases[round % bases.Count];
            var length = Mutate(original, frame.Span, random);
            var began = System.Diagnostics.Stopwatch.GetTimestamp();
            var allocated = Decode(frame[..length], out var request);
            var took = System.Diagnostics.Stopwatch.GetElapsedTime(began);
            longest = took > longest ? took : longest;
            var most = MaxAllocatedBeside + (long)length * MaxAllocatedPerByte;
            // A full collection empties the runtime's own pools, and whatever runs next fills them. What a frame takes, it takes again.
            if (allocated > most)
                allocated = Decode(frame[..length], out request);
            Assert.True(allocated <= most,
                $"Round {round}: {allocated} bytes for a frame of {length}: {Convert.ToHexString(frame.Span[..length])}");
            if (request.Outcome is not (DecodeOutcome.Decoded or DecodeOutcome.BadBody))
                continue;
            reached++;
            perKey[request.Api!.Key] = perKey.GetValueOrDefault(request.Api.Key) + 1;
        }
        output.WriteLine($"{Frames} frames, {reached} reached a decoder of bodies; the longest took {longest.TotalMilliseconds:F1} ms");
        foreach (var (key, count) in perKey)
            output.WriteLine($"{key}: {count}");
        Assert.True(reached >= Frames / 2, $"Only {reached} of {Frames} frames reached a decoder of bodies.");
        Assert.Equal(ApiTable.All.Select(static api => api.Key).Order(), perKey.Keys);
        Assert.All(perKey, static entry => Assert.True(entry.Value >= 1000, $"{entry.Key}: {entry.Value}"));
    }

    private static long Decode(Memory<byte> frame, out DecodedRequest request)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        request = ApiTable.Decode(frame);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    [Fact]
    public async Task Readable_mutated_frames_are_answered()
    {
        var random = new Random(7);
        var bases = Bases();
        await using var harness = await GatewayHarness.StartAsync();
        harness.Abort(); // Cancels waits.
        var answered = 0;
        for (var round = 0; round < 30_000; round++)
        {
            var frame = new byte[64 * 1024];
            var length = Mutate(bases[random.Next(bases.Count)], frame, random);
            var request = ApiTable.Decode(frame.AsMemory(0, length));
            // Topics with thousands of partitions are allowed, but creating them is not under test here.
            if (request.Outcome != DecodeOutcome.Decoded || request.Api!.Key is ApiKey.CreateTopics or ApiKey.CreatePartitions)
                continue;
            try
            {
                await harness.AnswerAsync(request);
                answered++;
            }
            catch (OperationCanceledException)
            {
                // Its wait was cancelled.
            }
        }
        Assert.True(answered > 5_000, $"{answered} were answered.");
        Assert.DoesNotContain(harness.Log.Lines, static line => line.StartsWith("Error", StringComparison.Ordinal));
    }

    private static List<byte[]> Bases()
    {
        var bases = new List<byte[]>();
        var orders = new Guid("0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a");
        foreach (var api in ApiTable.All)
        {
            for (var version = api.MinDecodedVersion; version <= api.MaxVersion; version++)
            {
                var key = (short)api.Key;
                bases.Add(new MessageEncoder(new SampleValues(key, version, orders)).Request(Schema.Request(key), version, 1, "client"));
                bases.Add(new MessageEncoder(new RandomValues(new Random(key * 100 + version))).Request(Schema.Request(key), version, 1,
                    null));
            }
        }
        return bases;
    }

    /// <summary>Writes a mutated copy. Returns its length.</summary>
    private static int Mutate(byte[] original, Span<byte> frame, Random random)
    {
        original.CopyTo(frame);
        var length = original.Length;
        // The first bytes hold key and version. They are rarely changed, or most frames would end there.
        var from = random.Next(10) == 0 ? 0 : 8;
        for (var changes = 1 + random.Next(4); changes > 0 && length > from; changes--)
        {
            var at = from + random.Next(length - from);
            switch (random.Next(6))
            {
                case 0:
                    frame[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    frame[at] = (byte)random.Next(256);
                    break;
                case 2:
                    frame[at] = random.Next(2) == 0 ? (byte)0xFF : (byte)0x7F;
                    break;
                case 3:
                    length = at;
                    break;
                case 4:
                    frame[at..length].CopyTo(frame[(at + 1)..]);
                    length++;
                    break;
                default:
                    frame[(at + 1)..length].CopyTo(frame[at..]);
                    length--;
                    break;
            }
        }
        return length;
    }
}
