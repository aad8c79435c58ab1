using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Hosting;

namespace Orleans.Hosting;

/// <summary>Opens a broker for AMQP 0-9-1 clients, such as RabbitMQ's.</summary>
public static class AmqpGatewayExtensions
{
    /// <summary>Serves AMQP clients. A new broker has the virtual host <c>/</c> and the user <c>guest</c> with the password
    /// <c>guest</c>, who logs in from this machine only; where rules are enforced, with the <c>AdminPassword</c> of
    /// <see cref="OrleansMq.Brokers.BrokerOptions.Security"/>, the user <c>admin</c> instead.</summary>
    /// <param name="builder">The broker. Clients of every broker of a cluster share its virtual hosts and queues.</param>
    /// <param name="configure">Changes the defaults; they listen on <c>127.0.0.1:5672</c>, and log through the host.</param>
    public static TBuilder AddAmqp<TBuilder>(this TBuilder builder, Func<AmqpGatewayOptions, AmqpGatewayOptions>? configure = null)
        where TBuilder : IBrokerBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.AddGateway(services =>
        {
            var options = new AmqpGatewayOptions { Log = services.GetService(typeof(EngineLog)) as EngineLog ?? EngineLog.Silent };
            options = configure?.Invoke(options) ?? options;
            options.Validate();
            return new AmqpGateway(options);
        });
        return builder;
    }

    /// <summary>
    /// Serves RabbitMQ's management API, for its tools and for frameworks that ask it. It needs <see cref="AddAmqp"/> on the same broker.
    /// The users are those of AMQP.
    /// </summary>
    /// <param name="builder">The broker.</param>
    /// <param name="configure">Changes the defaults; they listen on <c>127.0.0.1:15672</c>, and log through the host.</param>
    public static TBuilder AddAmqpManagement<TBuilder>(this TBuilder builder,
        Func<AmqpManagementOptions, AmqpManagementOptions>? configure = null) where TBuilder : IBrokerBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.AddGateway(services =>
        {
            var options = new AmqpManagementOptions { Log = services.GetService(typeof(EngineLog)) as EngineLog ?? EngineLog.Silent };
            return new ManagementGateway(configure?.Invoke(options) ?? options, () => AmqpOf(services));
        });
        return builder;
    }

    private static AmqpGateway AmqpOf(IServiceProvider services) => services.GetServices<IGateway>().OfType<AmqpGateway>().FirstOrDefault()
        ?? throw new InvalidOperationException("AddAmqpManagement() needs an AMQP gateway on the same broker: call AddAmqp(), too.");
}
