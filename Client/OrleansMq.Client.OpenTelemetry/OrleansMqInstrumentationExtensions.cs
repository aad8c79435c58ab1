using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;

namespace OrleansMq.Client;

/// <summary>Adds OrleansMq to OpenTelemetry.</summary>
public static class OrleansMqInstrumentationExtensions
{
    // The meter of a broker, for a silo of one's own.
    private const string BrokerMeter = "OrleansMq";

    /// <summary>Adds the spans of producers, consumers and message handlers.</summary>
    public static TracerProviderBuilder AddOrleansMqInstrumentation(this TracerProviderBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.AddSource(OrleansMqDiagnostics.Name);
    }

    /// <summary>Adds the metrics of the client library, and those of a broker in this process.</summary>
    public static MeterProviderBuilder AddOrleansMqInstrumentation(this MeterProviderBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.AddMeter(OrleansMqDiagnostics.Name, BrokerMeter);
    }
}
