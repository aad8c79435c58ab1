using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>Apache RocketMQ, started by <c>peer start rocketmq</c>: a name server and a broker with a heap of 1 GiB. <c>ASYNC_FLUSH</c>
/// acknowledges messages in the page cache, <c>SYNC_FLUSH</c> messages on disk, flushed in groups.</summary>
/// <param name="queues">The queues of a topic that a client's first message creates.</param>
internal sealed class RocketMqBroker(int queues) : IBrokerUnderTest
{
    // The distance from the name server's port to the broker's. Two below it is the broker's port for other masters, one above it that for
    // replicas.
    private const int BrokerPort = 1035;

    public string Name => "RocketMQ 5.5";

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks;

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
        PeerScript.StartAsync("rocketmq", directory,
            [Words.Of(FreePort.Choose(BrokerPort - 2, BrokerPort, BrokerPort + 1)), $"defaultTopicQueueNums={Words.Of(queues)}",
                settings.Flush == FlushSetting.EveryAcknowledgement ? "flushDiskType=SYNC_FLUSH" : "flushDiskType=ASYNC_FLUSH"],
                cancellationToken);
}

/// <summary>RabbitMQ from Debian's package. It confirms a persistent message when it is on disk: a quorum queue syncs its write-ahead log,
/// a classic durable queue its message store and index, for many messages at once.</summary>
internal sealed class RabbitMqBroker : IBrokerUnderTest
{
    // The distance to the node's port for tools and other nodes.
    private const int DistributionPort = 20_000;
    // How long a process may take to end that was killed.
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    public string Name => "RabbitMQ 3.10";

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks
        ?? (File.Exists("/usr/lib/rabbitmq/bin/rabbitmq-server") ? null : "Debian's package rabbitmq-server is not installed");

    public async Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken)
    {
        // Erlang leaves its node daemon behind; this broker has a daemon of its own, which ends with it.
        var daemon = FreePort.Choose();
        var node = await PeerScript.StartAsync("rabbitmq", directory, [Words.Of(FreePort.Choose(DistributionPort))], cancellationToken,
            new Dictionary<string, string> { ["ERL_EPMD_PORT"] = Words.Of(daemon) });
        return new Node(node, daemon) { Endpoint = node.Endpoint, Processes = node.AllProcesses, StartTime = node.StartTime,
            Directory = directory };
    }

    private sealed class Node(RunningBroker node, int daemon) : RunningBroker
    {
        public override async ValueTask DisposeAsync()
        {
            // The script ends the program that started the node, and kills that alone after 20 seconds. A node with thousands of queues
            // takes longer, and would stay.
            var processes = Processes.Select(Find).OfType<Process>().ToArray();
            await node.DisposeAsync();
            foreach (var process in processes)
                await EndAsync(process);
            // The daemon stays while it knows the node.
            for (var started = Stopwatch.GetTimestamp(); ;)
            {
                try
                {
                    await ChildProcess.RunAsync(["epmd", "-port", Words.Of(daemon), "-kill"], CancellationToken.None);
                    return;
                }
                catch (PeerFailedException) when (Stopwatch.GetElapsedTime(started) < Patience)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(500));
                }
            }
        }

        private static Process? Find(int id)
        {
            try
            {
                return Process.GetProcessById(id);
            }
            catch (ArgumentException)
            {
                return null; // It has ended.
            }
        }

        private static async Task EndAsync(Process process)
        {
            using (process)
            {
                try
                {
                    process.Kill();
                }
                catch (InvalidOperationException)
                {
                    // It has ended.
                }
                // One that its new parent never asks about seems to run for ever.
                using var limit = new CancellationTokenSource(EndTime);
                await process.WaitForExitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}

/// <summary>NATS with JetStream in files: it acknowledges messages in the page cache and syncs every two minutes.</summary>
internal sealed class NatsBroker : IBrokerUnderTest
{
    public string Name => "NATS JetStream";

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks;

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
        PeerScript.StartAsync("nats", directory, [Words.Of(FreePort.Choose())], cancellationToken);
}

/// <summary>Redis from Debian's package, with an append-only file that is synced every second or before each answer.</summary>
internal sealed class RedisBroker : IBrokerUnderTest
{
    public string Name => "Redis 7 Streams";

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks
        ?? (File.Exists("/usr/bin/redis-server") ? null : "Debian's package redis-server is not installed");

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
        PeerScript.StartAsync("redis", directory,
            [Words.Of(FreePort.Choose()), settings.Flush == FlushSetting.EveryAcknowledgement ? "always" : "everysec"], cancellationToken);
}

/// <summary>No broker: the disk itself, as a reference.</summary>
internal sealed class BareDisk : IBrokerUnderTest
{
    public string Name => "the disk";

    public string? Lacks(BrokerSettings settings) => null;

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
        Task.FromResult<RunningBroker>(new Nobody { Endpoint = "", Processes = [], StartTime = TimeSpan.Zero, Directory = directory });

    private sealed class Nobody : RunningBroker
    {
        public override ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

/// <summary>Splits a command line into words.</summary>
internal static class Words
{
    public static string Of(long number) => number.ToString(CultureInfo.InvariantCulture);
}
