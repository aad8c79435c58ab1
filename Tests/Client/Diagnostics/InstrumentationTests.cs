using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Diagnostics;

/// <summary>What <c>AddOrleansMqInstrumentation()</c> adds to OpenTelemetry's builders.</summary>
public sealed class InstrumentationTests
{
    [Fact]
    public void Traces_and_metrics_of_the_client_and_of_a_broker_are_added()
    {
        var (traces, metrics) = (new Traces(), new Metrics());
        Assert.Same(traces, traces.AddOrleansMqInstrumentation());
        Assert.Same(metrics, metrics.AddOrleansMqInstrumentation());
        Assert.Equal([OrleansMqDiagnostics.Name], traces.Names);
        Assert.Equal([OrleansMqDiagnostics.Name, "OrleansMq"], metrics.Names);
    }

    private sealed class Traces : TracerProviderBuilder
    {
        public List<string> Names { get; } = [];

        public override TracerProviderBuilder AddSource(params string[] names)
        {
            Names.AddRange(names);
            return this;
        }

        public override TracerProviderBuilder AddLegacySource(string operationName) => this;

        public override TracerProviderBuilder AddInstrumentation<TInstrumentation>(Func<TInstrumentation> instrumentationFactory) => this;
    }

    private sealed class Metrics : MeterProviderBuilder
    {
        public List<string> Names { get; } = [];

        public override MeterProviderBuilder AddMeter(params string[] names)
        {
            Names.AddRange(names);
            return this;
        }

        public override MeterProviderBuilder AddInstrumentation<TInstrumentation>(Func<TInstrumentation> instrumentationFactory) => this;
    }
}
