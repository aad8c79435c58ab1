using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Diagnostics;

/// <summary>Spans and metrics of producers and handlers. A listener is the whole process's: records of tests that ran beside these would
/// get the headers of a trace.</summary>
[Collection(nameof(ProcessWideListeners))]
public sealed class TraceAndMetricTests : IAsyncLifetime
{
    private readonly string _topic = $"orders-{Guid.NewGuid():n}";
    private readonly ConcurrentQueue<Activity> _spans = new();
    private readonly ConcurrentQueue<(string Instrument, double Value, string? Error)> _measured = new();
    private readonly ActivityListener _listener;
    private readonly MeterListener _meters = new();
    private TestBroker _broker = null!;

    public TraceAndMetricTests()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name is OrleansMqDiagnostics.Name or "test",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = span =>
            {
                if (span.DisplayName.Contains(_topic, StringComparison.Ordinal))
                    _spans.Enqueue(span);
            },
        };
        ActivitySource.AddActivityListener(_listener);
        _meters.InstrumentPublished = (instrument, meters) =>
        {
            if (instrument.Meter.Name == OrleansMqDiagnostics.Name)
                meters.EnableMeasurementEvents(instrument);
        };
        _meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Measure(instrument, value, tags));
        _meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Measure(instrument, value, tags));
        _meters.Start();
    }

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        await _broker.Client.Admin.CreateTopicAsync(_topic);
    }

    public async Task DisposeAsync()
    {
        _listener.Dispose();
        _meters.Dispose();
        await _broker.DisposeAsync();
    }

    private void Measure(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var found = tags.ToArray().ToDictionary();
        if (found["messaging.destination.name"] as string == _topic)
            _measured.Enqueue((instrument.Name, value, found.GetValueOrDefault("error.type") as string));
    }

    private double Sum(string instrument, string? error = null) =>
        _measured.Where(item => item.Instrument == instrument && item.Error == error).Sum(item => item.Value);

    private static ConsumerOptions Options { get; } = new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest };

    [Fact]
    public async Task Handler_continues_the_trace_of_the_sender()
    {
        using var source = new ActivitySource("test");
        string? during = null;
        await using var processor = _broker.Client.CreateProcessor<string, string>(Options,
            new() { Topics = [_topic], Retry = new() { MaxAttempts = 2, Backoff = TimeSpan.FromMilliseconds(1) } }, (_, _) =>
            {
                during ??= Activity.Current?.Id;
                return during == Activity.Current?.Id ? throw new TimeoutException("no ledger") : default;
            });
        processor.Start();
        using var request = source.StartActivity("request")!;
        await using var producer = _broker.Client.CreateProducer<string, string>();
        await producer.SendAsync(new(_topic, "customer-7", "two apples")).SoonAsync();
        Assert.Same(request, Activity.Current);
        await Wait.UntilAsync(() => _spans.Count == 3, "the spans");

        // The sender may be told after the handler has begun.
        var spans = _spans.OrderBy(static span => span.StartTimeUtc).ToArray();
        var (send, failed, done) = (spans[0], spans[1], spans[2]);
        Assert.Equal(($"send {_topic}", ActivityKind.Producer, request.SpanId), (send.DisplayName, send.Kind, send.ParentSpanId));
        Assert.Equal(("orleansmq", "send", _topic, "0", 0L), (send.GetTagItem("messaging.system"),
            send.GetTagItem("messaging.operation.type"), send.GetTagItem("messaging.destination.name"),
            send.GetTagItem("messaging.destination.partition.id"), send.GetTagItem("messaging.orleansmq.offset")));
        Assert.All([failed, done], span => Assert.Equal(($"process {_topic}", ActivityKind.Consumer, request.TraceId, send.SpanId, true),
            (span.DisplayName, span.Kind, span.TraceId, span.ParentSpanId, span.HasRemoteParent)));
        Assert.Equal(("billing", ActivityStatusCode.Error, typeof(TimeoutException).FullName),
            (failed.GetTagItem("messaging.consumer.group.name"), failed.Status, failed.GetTagItem("error.type")));
        Assert.Equal((ActivityStatusCode.Unset, failed.Id), (done.Status, during));
    }

    [Fact]
    public async Task Record_with_a_trace_keeps_it_and_others_carry_theirs()
    {
        const string Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            await producer.EnqueueAsync(new(_topic, "a", "1") { Headers = new[] { RecordHeaders.Text("traceparent", Parent) } }, _ => { });
            await producer.EnqueueAsync(new(_topic, "a", "2"));
            producer.Send(new(_topic, "a", "3"), _ => { });
        }
        await using var reader = _broker.Client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition(_topic, 0), ReadFrom.Earliest);
        var first = await reader.ReadAsync().SoonAsync();
        Assert.Equal([Parent], first.Headers.Select(header => header.TextValue()));
        using (var span = first.StartProcessing())
            Assert.Equal("0af7651916cd43dd8448eb211c80319c", span!.TraceId.ToHexString());
        for (var i = 1; i < 3; i++)
        {
            var header = Assert.Single((await reader.ReadAsync().SoonAsync()).Headers, header => header.Name() == "traceparent");
            Assert.Contains(_spans, span => span.Id == header.TextValue());
        }
    }

    [Fact]
    public async Task Failed_send_ends_its_span_with_the_error()
    {
        await using var producer = _broker.Client.CreateProducer<string, string>(new() { MaxRequestSize = 2000 });
        await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(new(_topic, "a", new string('x', 3000))).SoonAsync());
        await Assert.ThrowsAsync<ProduceException>(() => producer.EnqueueAsync(new(_topic, "a", new string('x', 3000))).SoonAsync());
        Assert.Equal(2, _spans.Count);
        Assert.All(_spans, span => Assert.Equal((ActivityStatusCode.Error, nameof(ErrorCode.MessageTooLarge)),
            (span.Status, span.GetTagItem("error.type"))));
    }

    [Fact]
    public async Task Metric_listener_that_throws_disturbs_no_delivery()
    {
        using var faulty = new MeterListener
        {
            InstrumentPublished = (instrument, meters) =>
            {
                if (instrument.Name == "messaging.client.sent.messages")
                    meters.EnableMeasurementEvents(instrument);
            },
        };
        faulty.SetMeasurementEventCallback<long>((_, _, tags, _) =>
        {
            foreach (var tag in tags)
            {
                if (tag.Value as string == _topic)
                    throw new NotSupportedException("a faulty listener");
            }
        });
        faulty.Start();
        var reported = new TaskCompletionSource<DeliveryReport>();
        await using var producer = _broker.Client.CreateProducer<string, string>();
        await producer.EnqueueAsync(new(_topic, "a", "1"), reported.SetResult);
        Assert.Null((await reported.Task.SoonAsync()).Error);
        Assert.Equal(1, (await producer.SendAsync(new(_topic, "a", "2")).SoonAsync()).Offset);
    }

    [Theory]
    [InlineData("messaging.client.consumed.messages")]
    [InlineData("messaging.process.duration")]
    public async Task Metric_listener_that_throws_disturbs_no_handler(string name)
    {
        using var faulty = new MeterListener
        {
            InstrumentPublished = (instrument, meters) =>
            {
                if (instrument.Name == name)
                    meters.EnableMeasurementEvents(instrument);
            },
        };
        faulty.SetMeasurementEventCallback<long>((_, _, tags, _) => ThrowFor(tags));
        faulty.SetMeasurementEventCallback<double>((_, _, tags, _) => ThrowFor(tags));
        faulty.Start();
        await HandleThreeAsync();

        void ThrowFor(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (var tag in tags)
            {
                if (tag.Value as string == _topic)
                    throw new NotSupportedException("a faulty listener");
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Span_listener_that_throws_disturbs_no_handler(bool atStart)
    {
        using var faulty = new ActivityListener
        {
            ShouldListenTo = source => source.Name == OrleansMqDiagnostics.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStarted = span => Throw(span, atStart),
            ActivityStopped = span => Throw(span, !atStart),
        };
        ActivitySource.AddActivityListener(faulty);
        await HandleThreeAsync();

        void Throw(Activity span, bool isTime)
        {
            if (isTime && span.DisplayName == $"process {_topic}")
                throw new NotSupportedException("a faulty listener");
        }
    }

    // Each once, although a listener throws.
    private async Task HandleThreeAsync()
    {
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < 3; i++)
                await producer.SendAsync(new(_topic, "a", $"{i}"));
        }
        var handled = new ConcurrentQueue<string>();
        await using var processor = _broker.Client.CreateProcessor<string, string>(Options,
            new() { Topics = [_topic], Retry = new() { MaxAttempts = 1 } }, (record, _) =>
            {
                handled.Enqueue(record.Value);
                return default;
            });
        processor.Start();
        await Wait.UntilAsync(() => processor.Statistics.Handled == 3, "the records");
        Assert.Equal(["0", "1", "2"], handled);
        Assert.Equal(0, processor.Statistics.DeadLettered);
    }

    [Fact]
    public async Task Span_listener_that_throws_keeps_no_report_from_the_application()
    {
        using var faulty = new ActivityListener
        {
            ShouldListenTo = source => source.Name == OrleansMqDiagnostics.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = span =>
            {
                if (span.DisplayName == $"send {_topic}")
                    throw new NotSupportedException("a faulty listener");
            },
        };
        ActivitySource.AddActivityListener(faulty);
        var reported = new TaskCompletionSource<DeliveryReport>();
        await using var producer = _broker.Client.CreateProducer<string, string>();
        await producer.EnqueueAsync(new(_topic, "a", "1"), reported.SetResult);
        await producer.FlushAsync().SoonAsync();
        Assert.True(reported.Task.IsCompletedSuccessfully);
    }

    [Fact]
    public async Task Report_of_a_record_leaves_later_batches_out_of_its_trace()
    {
        using var source = new ActivitySource("test");
        var broker = new ScriptedBroker((_topic, 1));
        var mayAnswer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var during = new ConcurrentQueue<string?>();
        broker.OnProduce = call =>
        {
            during.Enqueue(Activity.Current?.DisplayName);
            return call.Number == 0 ? new() { Before = mayAnswer.Task } : Reaction.Normal;
        };
        await using var producer = new Producer<string, string>(broker, options: new() { MaxInFlight = 1, BatchSize = 1024 });
        using (source.StartActivity("request"))
            await producer.EnqueueAsync(new(_topic, "a", "1"), _ => { });
        await Wait.UntilAsync(() => during.Count == 1, "the first batch");
        for (var i = 0; i < 3; i++)
            await producer.EnqueueAsync(new(_topic, "a", new string('x', 1000)), _ => { });
        mayAnswer.SetResult();
        await producer.FlushAsync().SoonAsync();
        Assert.Equal(4, during.Count);
        Assert.All(during.Skip(1), Assert.Null);
    }

    [Fact]
    public async Task Metrics_count_sent_consumed_and_failed_records()
    {
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < 10; i++)
                await producer.EnqueueAsync(new(_topic, "customer-7", i == 3 ? "bad" : "good"));
        }
        await using (var processor = _broker.Client.CreateProcessor<string, string>(Options,
            new() { Topics = [_topic], Retry = new() { MaxAttempts = 1 } },
            (record, _) => record.Value == "bad" ? throw new InvalidOperationException() : default))
        {
            processor.Start();
            await Wait.UntilAsync(() => processor.Statistics is { Handled: 9, DeadLettered: 1 }, "the records");
        }
        Assert.Equal((10, 10, 1), (Sum("messaging.client.sent.messages"), Sum("messaging.client.consumed.messages"),
            Sum("orleansmq.client.dead_lettered.messages")));
        Assert.Equal(9, _measured.Count(item => item is { Instrument: "messaging.process.duration", Error: null }));
        Assert.Single(_measured, item => item is { Instrument: "messaging.process.duration", Error: "System.InvalidOperationException" });
        Assert.Contains(_measured, item => item.Instrument == "messaging.client.operation.duration");
    }
}

/// <summary>Tests with listeners of the whole process, which run alone.</summary>
[CollectionDefinition(nameof(ProcessWideListeners), DisableParallelization = true)]
public sealed class ProcessWideListeners;
