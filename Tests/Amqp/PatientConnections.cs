using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp;

/// <summary>Connections of RabbitMQ's client that do not decide a test by their own timeouts.</summary>
internal static class PatientConnections
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Lets connections wait longer: by default 30 seconds to connect, 10 for each step of the handshake, and 20 for an
    /// answer.</summary>
    public static ConnectionFactory Patient(this ConnectionFactory factory)
    {
        factory.RequestedConnectionTimeout = Patience;
        factory.HandshakeContinuationTimeout = Patience;
        factory.ContinuationTimeout = Patience;
        return factory;
    }
}
