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
