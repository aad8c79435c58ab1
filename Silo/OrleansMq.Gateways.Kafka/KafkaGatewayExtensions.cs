using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Hosting;

namespace Orleans.Hosting;

/// <summary>Opens a broker for Kafka clients.</summary>
public static class KafkaGatewayExtensions
{
    /// <summary>
    /// Serves Kafka clients: <c>silo.AddOrleansMq().AddKafka(options => options with { Listen = new IPEndPoint(IPAddress.Any, 9092) })</c>.
    /// By default clients may do anything, without authentication: bind an address that only trusted clients reach, or give
    /// <see cref="KafkaGatewayOptions.Listeners"/> with SASL and <see cref="OrleansMq.Brokers.BrokerOptions.Security"/>.
    /// </summary>
    /// <param name="builder">The broker.</param>
    /// <param name="configure">Changes the defaults; they listen on <c>127.0.0.1:9092</c>, and log through the host.</param>
    public static TBuilder AddKafka<TBuilder>(this TBuilder builder, Func<KafkaGatewayOptions, KafkaGatewayOptions>? configure = null)
        where TBuilder : IBrokerBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.AddGateway(services =>
        {
            var options = new KafkaGatewayOptions { Log = services.GetService(typeof(EngineLog)) as EngineLog ?? EngineLog.Silent };
            return new KafkaGateway(configure?.Invoke(options) ?? options);
        });
        return builder;
    }
}
