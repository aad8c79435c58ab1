using System.Globalization;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Process.Crash;

/// <summary>The promise of the whole program: acknowledged records survive the death of the process, once and in order. Hundreds of
/// thousands of lines of real text, with <c>OMQ_LONG=1</c> nearly a million, go through <c>omq produce</c> while the broker is killed with
/// SIGKILL and restarted. <c>omq consume</c> reads them once meanwhile, and once more at the end.</summary>
public sealed class KilledBrokerTests(ITestOutputHelper output) : IDisposable
{
    // Enough to hit appends, segment rolls and idle moments; each kill costs a start of the broker.
    private static readonly bool IsLong = Environment.GetEnvironmentVariable("OMQ_LONG") == "1";
    private static readonly int Kills = IsLong ? 6 : 4;
    private static readonly long MostLines = IsLong ? long.MaxValue : 300_000;
    private const string SmallSegments = "segment.bytes=8388608";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public Task Repeated_broker_kills_neither_lose_duplicate_nor_reorder_lines() => RunAsync(partitions: 3);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Repeated_broker_kills_neither_lose_duplicate_nor_reorder_lines_of_one_partition() => RunAsync(partitions: 1);

    private async Task RunAsync(int partitions)
    {
        var seed = Environment.GetEnvironmentVariable("OMQ_SEED") is { Length: > 0 } given ? int.Parse(given, CultureInfo.InvariantCulture)
            : Environment.TickCount;
        output.WriteLine($"Seed {seed}");
        try
        {
            await RunAsync(partitions, new Random(seed));
        }
        catch (Exception e) when (e is not SkipException)
        {
            throw new InvalidOperationException($"Seed {seed}; replay it with: OMQ_SEED={seed} ./omq test Process", e);
        }
    }

    private async Task RunAsync(int partitions, Random random)
    {
        var corpus = _directory["lines"];
        var lines = Corpus.WriteTo(corpus, MostLines);
        await using var brokers = new RestartedBroker(_directory["data"]);
        await brokers.StartAsync();
        (await brokers.OmqAsync("topic", "create", "lines", "--partitions", partitions.ToString(CultureInfo.InvariantCulture), "--config",
            SmallSegments)).Expect(0);

        await using var followed = new FileStream(_directory["followed"], FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 20);
        await using var follower = new RunningProgram(Repository.Launcher,
            ["consume", "lines", "--max", lines.ToString(CultureInfo.InvariantCulture), "--server", brokers.Url], outputTo: followed);
        // From here on the consumer survives any broker. A broker that dies during the first request is unreachable (exit code 3).
        await brokers.WaitUntilTopicWasAskedForAsync(Patience);

        await ProduceAsync(brokers, corpus, lines, random);
        await brokers.KillAndRestartAsync();

        Assert.Equal(lines, await CountAsync(brokers));
        (await follower.ExitAsync(Patience)).Expect(0);
        await followed.DisposeAsync();
        var sent = Corpus.Fingerprints(corpus);
        var seen = Corpus.Fingerprints(_directory["followed"]);
        if (partitions == 1)
            AssertSubsequence(seen, sent, 0);
        var read = new List<UInt128>(sent.Length);
        for (var partition = 0; partition < partitions; partition++)
        {
            var received = await ConsumeAsync(brokers, partition);
            AssertSubsequence(received, sent, partition);
            read.AddRange(received);
        }
        AssertSameLines(sent, [.. read]);
        AssertSameLines(sent, seen);
    }

    /// <summary>Sends the file, and kills the broker as often as planned while records are in flight.</summary>
    private async Task ProduceAsync(RestartedBroker brokers, string corpus, long lines, Random random)
    {
        var length = new FileInfo(corpus).Length;
        var moments = Enumerable.Range(0, Kills).Select(_ => random.NextInt64(length / 20, length * 19 / 20)).ToList();
        RunningProgram? producer = null;
        await using var input = new KillingStream(File.OpenRead(corpus), moments, async () =>
        {
            Assert.False(producer!.HasExited, "the producer ended before all lines were read");
            // The producer reads far ahead. Before its first batch, a broker could come and go without one.
            if (brokers.Kills == 0)
                await brokers.WaitUntilProducedAsync(Patience);
            return await brokers.KillAsync();
        });
        await using (producer = new RunningProgram(Repository.Launcher, ["produce", "lines", "--json", "--server", brokers.Url],
            input: input))
        {
            var outcome = (await producer.ExitAsync(Patience)).Expect(0);
            await input.LastAsync();
            using var summary = JsonDocument.Parse(outcome.Output);
            output.WriteLine(outcome.Text);
            Assert.Equal(lines, summary.RootElement.GetProperty("acknowledged").GetInt64());
            Assert.True(summary.RootElement.GetProperty("retries").GetInt64() > 0, "no batch was sent while the broker was dead");
        }
        Assert.Equal(Kills, brokers.Kills);
    }

    /// <summary>Counts the records of the partitions by their offsets. A duplicate would count twice.</summary>
    private static async Task<long> CountAsync(RestartedBroker brokers)
    {
        var description = (await brokers.OmqAsync("topic", "describe", "lines", "--json")).Expect(0);
        using var json = JsonDocument.Parse(description.Output);
        return json.RootElement.GetProperty("partitions").EnumerateArray()
            .Sum(partition => partition.GetProperty("logEndOffset").GetInt64());
    }

    private async Task<UInt128[]> ConsumeAsync(RestartedBroker brokers, int partition)
    {
        var description = (await brokers.OmqAsync("topic", "describe", "lines", "--json")).Expect(0);
        using var json = JsonDocument.Parse(description.Output);
        var count = json.RootElement.GetProperty("partitions")[partition].GetProperty("logEndOffset").GetInt64();
        var path = _directory["read"];
        await using (var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
        {
            string[] arguments = ["consume", "lines", "--partition", partition.ToString(CultureInfo.InvariantCulture), "--offset",
                "earliest",
                "--max", count.ToString(CultureInfo.InvariantCulture), "--idle-timeout", "30000", "--server", brokers.Url];
            await using var consumer = new RunningProgram(Repository.Launcher, arguments, outputTo: file);
            (await consumer.ExitAsync(Patience)).Expect(0);
        }
        var received = Corpus.Fingerprints(path);
        Assert.Equal(count, received.Length);
        return received;
    }

    /// <summary>The records of one producer keep their order within a partition, which with one partition is the order of the
    /// file.</summary>
    private static void AssertSubsequence(UInt128[] received, UInt128[] sent, int partition)
    {
        var next = 0;
        for (var i = 0; i < received.Length; i++)
        {
            while (next < sent.Length && sent[next] != received[i])
                next++;
            Assert.True(next < sent.Length, $"Record {i} of partition {partition} is out of order, doubled, or was never sent.");
            next++;
        }
    }

    private static void AssertSameLines(UInt128[] sent, UInt128[] read)
    {
        Array.Sort(sent);
        Array.Sort(read);
        Assert.Equal(sent.Length, read.Length);
        Assert.True(sent.AsSpan().SequenceEqual(read), "the received lines differ from the sent ones");
    }
}
