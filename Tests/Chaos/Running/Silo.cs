namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A running silo, as it was announced.</summary>
/// <param name="BrokerId">Its number.</param>
/// <param name="ProcessId">Its process: another after each restart.</param>
/// <param name="Http">Its HTTP API.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Kafka">HOST:PORT of its Kafka port, where that was announced.</param>
internal sealed record Silo(int BrokerId, int ProcessId, Uri Http, string Data, string? Kafka = null);
