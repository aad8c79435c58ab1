using System.Diagnostics.Metrics;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>What a broker reports under RabbitMQ's names.</summary>
public sealed class MetricsTests : ClientTest
{
    [Fact]
    public async Task Messages_of_channels_are_counted_also_when_their_channels_have_ended()
    {
        await DeclareAsync("letters", "quorum");
        await DeclareAsync("q", "quorum", ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters"));
        foreach (var body in (string[])["a", "b", "c"])
            await PublishAsync("q", body);
        Assert.True((await Assert.ThrowsAsync<PublishException>(() => PublishAsync("nowhere", "returned").AsTask())).IsReturn);
        await Channel.BasicPublishAsync("", "nowhere", false, Persistent, "dropped"u8.ToArray());
        Assert.Equal("a", (await GetAsync("q")).Body);
        Assert.Null(await Channel.BasicGetAsync("letters", autoAck: true));
        var other = await Connection.CreateChannelAsync();
        var received = await StartAsync(other, "q", 2);
        await other.BasicAckAsync((await NextAsync(received)).Tag, multiple: false);
        await other.BasicRejectAsync((await NextAsync(received)).Tag, requeue: false);
        await other.BasicPublishAsync("", "letters", false, Persistent, "without confirm"u8.ToArray());
        await other.CloseAsync();
        await UntilAsync(async () => await Channel.MessageCountAsync("letters") == 2);

        using var metrics = new ReadMetrics(meter => Gateway.Gateway.AddMetrics(meter));

        var counted = metrics.Read().Where(static one => one.Key.StartsWith("rabbitmq.global.messages.", StringComparison.Ordinal))
            .ToDictionary(static one => one.Key["rabbitmq.global.messages.".Length..], static one => one.Value);
        Assert.Equal(new Dictionary<string, long>
        {
            ["received protocol=amqp091"] = 6,
            ["received.confirm protocol=amqp091"] = 5,
            ["confirmed protocol=amqp091"] = 5,
            ["routed protocol=amqp091"] = 4,
            ["unroutable.returned protocol=amqp091"] = 1,
            ["unroutable.dropped protocol=amqp091"] = 1,
            ["delivered protocol=amqp091"] = 3,
            ["delivered.consume.auto.ack protocol=amqp091"] = 0,
            ["delivered.consume.manual.ack protocol=amqp091"] = 2,
            ["delivered.get.auto.ack protocol=amqp091"] = 1,
            ["delivered.get.manual.ack protocol=amqp091"] = 0,
            ["get.empty protocol=amqp091"] = 1,
            ["redelivered protocol=amqp091"] = 0,
            ["acknowledged protocol=amqp091"] = 1,
            ["dead.lettered.rejected protocol=amqp091"] = 1,
            ["dead.lettered.expired protocol=amqp091"] = 0,
            ["dead.lettered.maxlen protocol=amqp091"] = 0,
            ["dead.lettered.delivery.limit protocol=amqp091"] = 0,
        }.OrderBy(static one => one.Key), counted.OrderBy(static one => one.Key));
    }

    [Fact]
    public async Task Connections_channels_and_queues_are_those_that_there_are()
    {
        await DeclareAsync("q", "quorum", ("x-max-length-bytes", 100));
        await DeclareAsync("unused", "classic");
        await Channel.QueueDeclareAsync("memory", durable: false, exclusive: true, autoDelete: false);
        foreach (var body in (string[])["one", "two", "three"])
        {
            await PublishAsync("q", body);
            await PublishAsync("memory", body);
        }
        Assert.NotNull(await Channel.BasicGetAsync("q", autoAck: false));
        await (await Connection.CreateChannelAsync()).CloseAsync();
        await StartAsync(Channel, "unused");
        using var metrics = new ReadMetrics(meter => Gateway.Gateway.AddMetrics(meter));
        // The connection's own thread notes that the channel is closed.
        await UntilAsync(() => Task.FromResult(metrics.Read()["rabbitmq.channels"] == 1));
        await Gateway.Gateway.RefreshAsync(CancellationToken.None);

        var read = metrics.Read();

        Assert.Equal((1, 1, 0), (read["rabbitmq.connections"], read["rabbitmq.connections.opened"], read["rabbitmq.connections.closed"]));
        Assert.Equal((1, 2, 1), (read["rabbitmq.channels"], read["rabbitmq.channels.opened"], read["rabbitmq.channels.closed"]));
        Assert.Equal((1, 3), (read["rabbitmq.consumers"], read["rabbitmq.queues"]));
        Assert.Equal((2, 1, 3, 0, 8), Queue("q"));
        Assert.Equal((3, 0, 3, 0, 11), Queue("memory"));
        Assert.Equal((0, 0, 0, 1, null), Queue("unused"));
        Assert.Equal((0, 0), (read["rabbitmq.alarms.memory.used.watermark"], read["rabbitmq.alarms.free.disk.space.watermark"]));
        Assert.True(read["rabbitmq.process.resident.memory.bytes"] > 0);
        Assert.Contains("rabbitmq.identity.info rabbitmq_node=orleansmq@0 rabbitmq_cluster=" + Gateway.Broker.ClusterId, string.Join('\n',
            read.Keys), StringComparison.Ordinal);

        (long Ready, long Unacked, long All, long Consumers, long? Bytes) Queue(string name) => (Of(name, "messages.ready")!.Value,
            Of(name, "messages.unacked")!.Value, Of(name, "messages")!.Value, Of(name, "consumers")!.Value,
            Of(name, "messages.ready.bytes"));

        long? Of(string name, string metric) =>
            read.TryGetValue($"rabbitmq.queue.{metric} vhost=/ queue={name}", out var value) ? value : null;
    }

    // The observable instruments of a meter.
    private sealed class ReadMetrics : IDisposable
    {
        private readonly Meter _meter = new(nameof(MetricsTests));
        private readonly MeterListener _listener = new();
        private readonly Dictionary<string, long> _read = [];

        public ReadMetrics(Action<Meter> addTo)
        {
            addTo(_meter);
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (ReferenceEquals(instrument.Meter, _meter))
                    listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
            {
                var name = instrument.Name;
                foreach (var (label, text) in tags)
                    name += $" {label}={text}";
                _read.Add(name, value);
            });
            _listener.Start();
        }

        public IReadOnlyDictionary<string, long> Read()
        {
            _read.Clear();
            _listener.RecordObservableInstruments();
            return _read.ToDictionary();
        }

        public void Dispose()
        {
            _listener.Dispose();
            _meter.Dispose();
        }
    }
}
