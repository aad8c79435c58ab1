namespace OrleansMq.Gateways.Kafka;

/// <summary>Hears of the records that go through a gateway. Called for every batch: must not block or allocate. Thread safe.</summary>
public interface IRecordTraffic
{
    /// <summary>A batch was appended.</summary>
    void Produced(string topic, int records, int bytes);

    /// <summary>A batch for a topic that exists was refused.</summary>
    void Refused(string topic);

    /// <summary>Batches were read.</summary>
    void Fetched(string topic, int records, int bytes);
}
