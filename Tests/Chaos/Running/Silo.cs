namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A running silo, as announced.</summary>
/// <param name="BrokerId">Its broker id.</param>
/// <param name="ProcessId">Its process id, which changes with each restart.</param>
/// <param name="Http">Its HTTP API.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Kafka">HOST:PORT of its Kafka listener, if announced.</param>
/// <param name="Amqp">HOST:PORT of its AMQP listener, if announced.</param>
internal sealed record Silo(int BrokerId, int ProcessId, Uri Http, string Data, string? Kafka = null, string? Amqp = null);
