namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>The port that a hostile client connects to.</summary>
internal enum HostilePort
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Kafka's protocol in clear text.</summary>
    Kafka = 1,
    /// <summary>Kafka's protocol where clients authenticate.</summary>
    Sasl = 2,
    /// <summary>Kafka's protocol with TLS; what is sent are records of TLS.</summary>
    TlsRecords = 3,
    /// <summary>Kafka's protocol with TLS; what is sent are requests inside it.</summary>
    InsideTls = 4,
    /// <summary>The HTTP API.</summary>
    Http = 5,
    /// <summary>AMQP 0-9-1.</summary>
    Amqp = 6,
    /// <summary>RabbitMQ's management API, inside TLS.</summary>
    Management = 7,
    /// <summary>RabbitMQ's management API; what is sent are records of TLS.</summary>
    HttpsRecords = 8,
}
