using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Tests.Fuzz.Cases;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Fuzz.InProcess;

/// <summary>The frames of one seed, decoded and answered by a broker in memory without a socket.</summary>
/// <param name="seed">Decides the frames.</param>
internal sealed class FrameBlock(long seed) : IFrameBlock
{
    // One byte of a frame that is an array's element becomes an object with a few texts and arrays.
    private const int MaxAllocatedPerByte = 128;
    private const int MaxAllocatedBeside = 8_192;
    // A request that is answered takes several times as long as one that is decoded alone.
    private const int AnswerOneIn = 3;
    // One answer in so many is read by the schema.
    private const int ReadOneIn = 2;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(1);

    /// <summary>How many frames were valid requests.</summary>
    public int Decoded { get; private set; }

    /// <summary>How many of them were answered.</summary>
    public int Answered { get; private set; }

    /// <inheritdoc/>
    public async Task RunAsync()
    {
        var random = new Random((int)(seed ^ (seed >> 32)));
        await using var harness = await GatewayHarness.StartAsync(engine: static broker => broker);
        harness.Abort(); // Cancels waits.
        var frames = new KafkaFrames(harness.Orders);
        for (var number = 0; number < IFrameBlock.Frames; number++)
        {
            var frame = frames.Next(random, number);
            try
            {
                await RunAsync(harness, frame, number);
            }
            catch (Exception fault)
            {
                throw new FuzzFailedException($"frame {number}: {fault.Message}\n{Convert.ToHexString(frame)}", fault);
            }
        }
        var errors = harness.Log.Lines.Where(static line => line.StartsWith("Error", StringComparison.Ordinal)).ToArray();
        if (errors.Length > 0)
            throw new FuzzFailedException($"{errors.Length} errors in the log, the first: {errors[0]}");
    }

    private async Task RunAsync(GatewayHarness harness, byte[] frame, int number)
    {
        // Decoding keeps slices, and an append stamps its offset into them.
        var request = Decode((byte[])frame.Clone());
        if (request.Outcome != DecodeOutcome.Decoded)
            return;
        Decoded++;
        if (number % AnswerOneIn != 0)
            return;
        // Topics with thousands of partitions are allowed, but creating them is not under test here. Deleting comes last.
        if (request.Api!.Key is ApiKey.CreateTopics or ApiKey.CreatePartitions
            || (request.Api.Key == ApiKey.DeleteTopics && number < IFrameBlock.Frames * 9 / 10))
            return;
        byte[]? answer;
        try
        {
            answer = await harness.AnswerAsync(request).WaitAsync(Deadline);
        }
        catch (Exception unanswered) when (unanswered is OperationCanceledException or AnswerTooLargeException)
        {
            return; // Its wait was cancelled, or the connection is closed.
        }
        Answered++;
        if (answer is not null && Answered % ReadOneIn == 0)
            MessageText.OfResponse(Schema.Response((short)request.Api.Key), request.Version, answer, request.CorrelationId);
    }

    private static DecodedRequest Decode(byte[] frame)
    {
        var most = MaxAllocatedBeside + ((long)frame.Length * MaxAllocatedPerByte);
        var allocated = Decode(frame, out var request);
        // A full collection empties the runtime's own pools, and whatever runs next fills them. What a frame takes, it takes again.
        if (allocated > most)
            allocated = Decode(frame, out request);
        return allocated <= most ? request
            : throw new FuzzFailedException($"Decoding {frame.Length} bytes allocated {allocated}; {most} are the most.");
    }

    private static long Decode(byte[] frame, out DecodedRequest request)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        request = ApiTable.Decode(frame);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }
}
