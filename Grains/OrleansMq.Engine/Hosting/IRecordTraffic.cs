namespace OrleansMq.Hosting;

/// <summary>Receives counts of the records that pass a gateway. Called for every batch: must not block or allocate. Thread safe.</summary>
public interface IRecordTraffic
{
    /// <summary>Counts an appended batch.</summary>
    void Produced(string topic, int records, int bytes);

    /// <summary>Counts a refused batch for an existing topic.</summary>
    void Refused(string topic);

    /// <summary>Counts batches that were read.</summary>
    void Fetched(string topic, int records, int bytes);
}
