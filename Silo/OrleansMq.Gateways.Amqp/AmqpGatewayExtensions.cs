using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Hosting;

namespace Orleans.Hosting;

/// <summary>Opens a broker for AMQP 0-9-1 clients, such as RabbitMQ's.</summary>
public static class AmqpGatewayExtensions
{
    /// <summary>Serves AMQP clients. A new broker has the virtual host <c>/</c> and the user <c>guest</c> with the password
    /// <c>guest</c>, who logs in from this machine only.</summary>
    /// <param name="builder">The broker. Clients of every broker of a cluster share its virtual hosts and queues.</param>
    /// <param name="configure">Changes the defaults; they listen on <c>127.0.0.1:5672</c>, and log through the host.</param>
    public static TBuilder AddAmqp<TBuilder>(this TBuilder builder, Func<AmqpGatewayOptions, AmqpGatewayOptions>? configure = null)
        where TBuilder : IBrokerBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.AddGateway(services =>
        {
            var options = new AmqpGatewayOptions { Log = services.GetService(typeof(EngineLog)) as EngineLog ?? EngineLog.Silent };
            return new AmqpGateway(configure?.Invoke(options) ?? options);
        });
        return builder;
    }
}
