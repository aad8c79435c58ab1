using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using OrleansMq.Gateways.Http.Metrics;

namespace OrleansMq.Tests.Silo.Metrics;

public sealed partial class MetricsTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    [Fact]
    public async Task Metrics_are_well_formed_and_typed_once()
    {
        await broker.ProduceAllAsync(await broker.CreateTopicAsync(), """{"value":"a"}""");
        using var response = await broker.Http.GetAsync("/metrics");
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        var metrics = PrometheusSamples.Parse(await response.Content.ReadAsStringAsync());
        Assert.All(metrics.Types.Keys, name => Assert.StartsWith("orleansmq_", name, StringComparison.Ordinal));
        foreach (var name in new[] { "orleansmq_partitions_online", "orleansmq_partitions_offline", "orleansmq_disk_free_bytes",
            "orleansmq_process_resident_memory_bytes",
            "orleansmq_gc_heap_bytes", "orleansmq_gc_collections_total", "orleansmq_process_cpu_seconds_total", "orleansmq_build_info" })
            Assert.Contains(metrics.Samples, sample => sample.Name == name);
    }

    [Fact]
    public async Task Traffic_is_counted_by_topic_and_its_series_end_with_the_topic()
    {
        var topic = await broker.CreateTopicAsync(partitions: 2);
        await broker.ProduceAllAsync(topic,
            "{\"value\":\"a\",\"partition\":1}\n{\"value\":\"b\",\"partition\":1}\n{\"value\":\"c\",\"partition\":1}");
        await broker.ConsumeAsync(topic, 1);
        var metrics = await ScrapeAsync();
        var labels = $"topic=\"{topic}\"";
        Assert.Equal(3, metrics.Value("orleansmq_produced_records_total", labels));
        Assert.Equal(3, metrics.Value("orleansmq_fetched_records_total", labels));
        Assert.True(metrics.Value("orleansmq_produced_size_bytes_total", labels) > 61);
        Assert.Equal(metrics.Value("orleansmq_produced_size_bytes_total", labels),
            metrics.Value("orleansmq_fetched_size_bytes_total", labels));
        Assert.Equal(metrics.Value("orleansmq_produced_size_bytes_total", labels),
            metrics.Value("orleansmq_partition_log_size_bytes", $"{labels},partition=\"1\""));
        Assert.Equal(3, metrics.Value("orleansmq_partition_log_end_offset", $"{labels},partition=\"1\""));
        Assert.Equal(0, metrics.Value("orleansmq_partition_log_end_offset", $"{labels},partition=\"0\""));

        using var deleted = await broker.Http.DeleteAsync($"/api/topics/{topic}");
        Assert.DoesNotContain((await ScrapeAsync()).Samples, sample => sample.Labels.Contains(labels, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Scheduled_records_that_wait_and_that_were_dropped_are_counted()
    {
        var topic = await broker.CreateTopicAsync();
        // The next one that is due after the topic was deleted is dropped, however long the test takes until then.
        var now = DateTimeOffset.UtcNow;
        foreach (var seconds in (int[])[777_600, 1, 2, 4, 8, 16, 32, 64, 96])
        {
            using var created = await broker.Http.PostAsync($"/api/schedules/{topic}",
                new StringContent($$"""{"at":"{{now.AddSeconds(seconds):O}}","value":"x"}""", Encoding.UTF8, "application/json"));
            Assert.True(created.IsSuccessStatusCode, await created.Content.ReadAsStringAsync());
        }
        Assert.True(Sum(await ScrapeAsync(), "orleansmq_schedule_waiting") >= 1);
        using var deleted = await broker.Http.DeleteAsync($"/api/topics/{topic}");
        using var patience = new CancellationTokenSource(RunningBroker.Patience);
        while (Sum(await ScrapeAsync(), "orleansmq_schedule_dropped_total") < 1)
            await Task.Delay(20, patience.Token);

        static double Sum(PrometheusSamples metrics, string name) =>
            metrics.Samples.Where(sample => sample.Name == name).Sum(sample => sample.Value);
    }

    [Fact]
    public async Task Records_that_were_left_out_for_their_message_id_are_counted_by_topic()
    {
        var topic = await broker.CreateTopicAsync(configs: """{"dedupe.window.ms":"600000","dedupe.max.ids":"1"}""");
        var other = await broker.CreateTopicAsync();
        foreach (var id in (int[])[1, 1, 2, 1])
            await broker.ProduceAllAsync(topic, $$$"""{"value":"a","headers":{"omq.message-id":"{{{id}}}"}}""");
        var metrics = await ScrapeAsync();
        Assert.Equal(1, metrics.Value("orleansmq_produced_duplicates_total", $"topic=\"{topic}\""));
        Assert.Equal(2, metrics.Value("orleansmq_dedupe_forgotten_total", $"topic=\"{topic}\""));
        Assert.Equal(1, metrics.Value("orleansmq_dedupe_remembered", $"topic=\"{topic}\""));
        Assert.DoesNotContain(metrics.Samples, sample => sample.Name == "orleansmq_produced_duplicates_total"
            && sample.Labels.Contains(other, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Refused_batches_are_counted_and_unknown_topics_are_not()
    {
        var topic = await broker.CreateTopicAsync(configs: """{"max.message.bytes":"100"}""");
        using var refused = await broker.ProduceAsync(topic, $$"""{"value":"{{new string('x', 300)}}"}""");
        using var unknown = await broker.Http.GetAsync("/api/topics/not-there/partitions/0/batches?offset=0");
        var metrics = await ScrapeAsync();
        Assert.Equal(1, metrics.Value("orleansmq_produce_refusals_total", $"topic=\"{topic}\""));
        Assert.DoesNotContain(metrics.Samples, sample => sample.Labels.Contains("not-there", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Requests_are_timed_by_route_not_by_path()
    {
        using var response = await broker.Http.GetAsync("/api/topics/some-name");
        var metrics = await ScrapeAsync();
        const string labels = "route=\"/api/topics/{topic}\",method=\"GET\",status=\"404\"";
        Assert.Equal("histogram", metrics.Types["orleansmq_http_request_duration_seconds"]);
        var count = metrics.Value("orleansmq_http_request_duration_seconds_count", labels);
        Assert.True(count >= 1);
        Assert.Equal(count, metrics.Value("orleansmq_http_request_duration_seconds_bucket", labels + ",le=\"+Inf\""));
        Assert.True(metrics.Value("orleansmq_http_request_duration_seconds_sum", labels) > 0);
    }

    [Fact]
    public async Task Listener_that_throws_is_logged_and_fails_no_request()
    {
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Name == "orleansmq.http.request.duration")
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>(static (_, _, tags, _) =>
        {
            // No other test sends such a request.
            foreach (var tag in tags)
            {
                if (tag is { Key: "method", Value: "OPTIONS" })
                    throw new NotSupportedException("a faulty listener");
            }
        });
        listener.Start();
        for (var i = 0; i < 2; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Options, "/api/topics");
            using var response = await broker.Http.SendAsync(request);
            Assert.Contains("\"status\"", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        Assert.Contains("A listener to the metrics of requests", broker.Log, StringComparison.Ordinal);
        Assert.DoesNotContain("unhandled", broker.Log, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Buckets_are_cumulative_and_their_bounds_inclusive()
    {
        using var meter = new Meter("test");
        using var reader = new MeterReader(meter);
        var histogram = meter.CreateHistogram("some.time", "s", "Help with \\ and\nline.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [1, 2] });
        foreach (var value in new[] { 0.5, 1, 1.5, 9 })
            histogram.Record(value, new KeyValuePair<string, object?>("label", "quote \" slash \\ line \n"));
        const string label = """label="quote \" slash \\ line \n" """;
        Assert.Equal($$"""
            # HELP some_time_seconds Help with \\ and\nline.
            # TYPE some_time_seconds histogram
            some_time_seconds_bucket{{{label.Trim()}},le="1"} 2
            some_time_seconds_bucket{{{label.Trim()}},le="2"} 3
            some_time_seconds_bucket{{{label.Trim()}},le="+Inf"} 4
            some_time_seconds_sum{{{label.Trim()}}} 12
            some_time_seconds_count{{{label.Trim()}}} 4

            """, Text(reader));
    }

    [Fact]
    public void Names_end_with_the_unit_and_counters_with_total()
    {
        using var meter = new Meter("test");
        using var reader = new MeterReader(meter);
        meter.CreateObservableCounter("b.sent", () => 5L, "By");
        meter.CreateObservableGauge("a.now", () => 0.25, "{thing}");
        Assert.Equal("# TYPE a_now gauge\na_now 0.25\n# TYPE b_sent_bytes_total counter\nb_sent_bytes_total 5\n", Text(reader));
    }

    [Fact]
    public void Other_meters_are_not_read()
    {
        using var ours = new Meter("test");
        using var reader = new MeterReader(ours);
        using var theirs = new Meter("test");
        theirs.CreateObservableGauge("a", () => 1);
        Assert.Empty(Text(reader));
    }

    [Fact]
    public void Measured_request_allocates_nothing()
    {
        using var metrics =
            new BrokerMetrics(new MetricSource { Partitions = () => [], FreeBytes = () => null, Version = "1", Flavour = "standalone" });
        void Measure() => metrics.RecordRequest("/route", "GET", 200, TimeSpan.FromMilliseconds(1));
        var least = long.MaxValue;
        for (var round = 0; round < 10; round++) // Some rounds include recompilation by the JIT.
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 1000; i++)
                Measure();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);
    }

    private static string Text(MeterReader reader)
    {
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        reader.WriteText(output);
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    private async Task<PrometheusSamples> ScrapeAsync() => PrometheusSamples.Parse(await broker.Http.GetStringAsync("/metrics"));

    /// <summary>A strict parser of the Prometheus text format.</summary>
    private sealed partial class PrometheusSamples
    {
        public Dictionary<string, string> Types { get; } = [];

        public List<(string Name, string Labels, double Value)> Samples { get; } = [];

        public double Value(string name, string labels) => Samples.Single(s => s.Name == name && s.Labels == labels).Value;

        public static PrometheusSamples Parse(string text)
        {
            var parsed = new PrometheusSamples();
            Assert.EndsWith("\n", text, StringComparison.Ordinal);
            var family = "";
            foreach (var line in text.TrimEnd('\n').Split('\n'))
            {
                if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
                {
                    var parts = line.Split(' ');
                    family = parts[2];
                    Assert.Contains(parts[3], new[] { "counter", "gauge", "histogram" });
                    Assert.True(parsed.Types.TryAdd(family, parts[3]), $"{family} is typed twice.");
                }
                else if (!line.StartsWith("# HELP ", StringComparison.Ordinal))
                    parsed.Add(line, family);
            }
            Assert.Equal(parsed.Samples.Count, parsed.Samples.Select(s => (s.Name, s.Labels)).Distinct().Count());
            return parsed;
        }

        private void Add(string line, string family)
        {
            var match = SampleLine().Match(line);
            Assert.True(match.Success, $"not a sample: {line}");
            var name = match.Groups["name"].Value;
            Assert.True(name == family || Types[family] == "histogram"
                && new[] { "_bucket", "_sum", "_count" }.Any(suffix => name == family + suffix), $"{name} stands under {family}.");
            Assert.Equal(Types[family] == "counter", name.EndsWith("_total", StringComparison.Ordinal));
            Samples.Add((name, match.Groups["labels"].Value, double.Parse(match.Groups["value"].Value, CultureInfo.InvariantCulture)));
        }

        [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"""
            + """(\{(?<labels>[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*")*)\})? """
            + """(?<value>-?[0-9][0-9.eE+-]*|\+Inf)$""")]
        private static partial Regex SampleLine();
    }
}
