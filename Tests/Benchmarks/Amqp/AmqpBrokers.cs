using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>The brokers that a subcommand measures over AMQP 0-9-1.</summary>
internal static class AmqpBrokers
{
    /// <summary>Returns OrleansMq, by default the one built with this program, and with <c>--beside</c> RabbitMQ after it.</summary>
    /// <param name="arguments">The options of the subcommand: <c>--broker</c>, <c>--cluster</c> and <c>--beside</c> count.</param>
    /// <param name="settings">What each is started with.</param>
    /// <exception cref="FormatException">One cannot run with these settings on this machine.</exception>
    public static IReadOnlyList<IBrokerUnderTest> Choose(CommandArguments arguments, BrokerSettings settings)
    {
        var program = arguments.Text("--broker")
            ?? Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../OrleansMq.Silo/release/OrleansMq.Silo.dll"));
        var cluster = arguments.Text("--cluster") ?? Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../.."));
        var ours = new OrleansMqBroker("OrleansMq", program, cluster).OverAmqp();
        IBrokerUnderTest[] brokers = arguments.Has("--beside") ? [ours, new RabbitMqBroker()] : [ours];
        if (brokers.Select(broker => broker.Lacks(settings)).OfType<string>().FirstOrDefault() is { } lacks)
            throw new FormatException(lacks);
        return brokers;
    }
}
