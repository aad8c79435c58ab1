using System.Text;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Clusters;

/// <summary>A Kafka client that knows nothing of this broker, and a cluster that loses a silo under it.</summary>
public sealed class KafkaClientTests
{
    private const int Lines = 100_000;

    [SkippableFact]
    public async Task A_client_goes_on_when_a_broker_that_leads_is_killed_and_no_record_is_lost_or_doubled()
    {
        var kcat = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(folder => Path.Combine(folder, "kcat")).FirstOrDefault(File.Exists);
        Skip.If(kcat is null, "There is no kcat on the path.");
        await using var cluster = await RunningCluster.UpAsync(3);
        (await cluster.OmqAsync(["topic", "create", "numbers", "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        var bootstrap = string.Join(',', cluster.Brokers.Values.Select(static broker => broker.GetProperty("kafka").GetString()));
        var input = new SteppedStream();
        await using var producer = new RunningProgram(kcat!, ["-P", "-b", bootstrap, "-t", "numbers", "-X", "enable.idempotence=true"], input: input);
        input.Give(Numbers(0, Lines / 2));
        (await cluster.OmqAsync(["consume", "numbers", "--max", "1000"])).Expect(0);

        // Each of three brokers leads one of three partitions.
        cluster.Kill(1);
        input.Give(Numbers(Lines / 2, Lines));
        input.End();

        (await producer.ExitAsync()).Expect(0);
        await using var consumer = new RunningProgram(kcat!, ["-C", "-b", bootstrap, "-t", "numbers", "-o", "beginning", "-e", "-q"]);
        var read = (await consumer.ExitAsync()).Expect(0);
        Assert.Equal(Enumerable.Range(0, Lines), read.Lines.Select(int.Parse).Order());
        (await cluster.EndAsync()).Expect(0);
    }

    private static byte[] Numbers(int from, int to) => Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(from, to - from).Select(static number => $"{number}\n")));
}
