using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Topics;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>The sends of images to brokers that meet faults.</summary>
public sealed class ImagePublisherTests : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly SiloLifecycleSubject _lifecycle = new(NullLogger<SiloLifecycleSubject>.Instance);
    private readonly ClusterMembership _membership = new(new ScriptedMembers(1, 2), EngineLog.Silent);
    private readonly Transport _transport = new();
    private readonly Log _log = new();

    public async ValueTask DisposeAsync()
    {
        await _lifecycle.OnStop();
        _membership.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fault_of_any_kind_delays_the_image_of_one_broker_and_of_no_other(bool isWritten)
    {
        _membership.Participate(_lifecycle);
        await _lifecycle.OnStart();
        await using var publisher = new ImagePublisher<string>(_transport, _membership, _log);
        (_transport.FailsInWrite, _transport.Failing) = (!isWritten, isWritten ? 1 : 0);
        publisher.Publish("1");
        if (isWritten)
            await _transport.ArrivedAsync(2, "1");
        // A fault in Write meets both brokers. Each is reported once for an image, and sent again.
        var reports = isWritten ? 1 : 2;
        await Wait.UntilAsync(() => _log.Errors.Count == reports, "the fault is reported");
        for (var i = 0; i <= reports; i++)
            Assert.True(await _transport.Failed.WaitAsync(Patience));
        (_transport.FailsInWrite, _transport.Failing) = (false, 0);
        await _transport.ArrivedAsync(1, "1");
        await _transport.ArrivedAsync(2, "1");
        publisher.Publish("2");
        await _transport.ArrivedAsync(1, "2");
        await _transport.ArrivedAsync(2, "2");
        Assert.Contains(_log.Errors, static text => text == "Broker 1 did not confirm version 1 of the tests; retrying. It is a bug.");
        Assert.Equal(reports, _log.Errors.Count);
    }

    // An image is its version.
    private sealed class Transport : IImageTransport<string>
    {
        private readonly ConcurrentDictionary<(int, string), TaskCompletionSource> _arrived = new();

        public volatile bool FailsInWrite;

        public volatile int Failing;

        public SemaphoreSlim Failed { get; } = new(0);

        public string Noun => "tests";

        public long VersionOf(string image) => long.Parse(image, System.Globalization.CultureInfo.InvariantCulture);

        public ReadOnlyMemory<byte> Write(string? before, string after) =>
            FailsInWrite ? throw Fault() : System.Text.Encoding.UTF8.GetBytes(after);

        public Task<long> PushAsync(int broker, ReadOnlyMemory<byte> written)
        {
            if (broker == Failing)
                throw Fault();
            var image = System.Text.Encoding.UTF8.GetString(written.Span);
            ArrivalOf(broker, image).TrySetResult();
            return Task.FromResult(VersionOf(image));
        }

        public Task ArrivedAsync(int broker, string image) => ArrivalOf(broker, image).Task.WaitAsync(Patience);

        private TaskCompletionSource ArrivalOf(int broker, string image) =>
            _arrived.GetOrAdd((broker, image), static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));

        private InvalidOperationException Fault()
        {
            Failed.Release();
            return new InvalidOperationException("It is a bug.");
        }
    }

    private sealed class Log : EngineLog
    {
        public ConcurrentQueue<string> Errors { get; } = new();

        public override void Write(EngineLogLevel level, string message, Exception? exception = null)
        {
            if (level == EngineLogLevel.Error)
                Errors.Enqueue(message);
        }
    }
}
