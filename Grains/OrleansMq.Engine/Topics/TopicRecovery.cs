namespace OrleansMq.Topics;

/// <summary>What a host does about a topic when it starts.</summary>
public enum TopicRecoveryAction
{
    /// <summary>Not decided.</summary>
    Unknown = 0,
    /// <summary>Nothing is open: serve it.</summary>
    Serve = 1,
    /// <summary>Make the partitions that are missing, then serve it.</summary>
    FinishCreate = 2,
    /// <summary>Make the partitions that were being added, then serve it.</summary>
    FinishAddPartitions = 3,
    /// <summary>Its document was never written, so neither was a record: forget it.</summary>
    UndoCreate = 4,
    /// <summary>Delete what is left of it.</summary>
    FinishDelete = 5,
    /// <summary>It has a document but no entry: take it into the catalogue, then do what its document asks for.</summary>
    Adopt = 6,
    /// <summary>Its document is missing, or belongs to another topic id: touch nothing, and say so.</summary>
    Damaged = 7,
}

/// <summary>What a crash between two writes left of a topic, and what to do about it. The order of writes stands at
/// <see cref="TopicCatalogue"/>.</summary>
public static class TopicRecovery
{
    /// <summary>Decides for one topic.</summary>
    /// <param name="entry">Its entry in the catalogue, if there is one.</param>
    /// <param name="topic">Its document, if there is one.</param>
    public static TopicRecoveryAction Decide(TopicCatalogueEntry? entry, TopicState? topic)
    {
        if (entry is null)
            return topic is null ? TopicRecoveryAction.Unknown : TopicRecoveryAction.Adopt;
        if (entry.Status == TopicStatus.Deleting)
            return TopicRecoveryAction.FinishDelete;
        if (topic is null)
            return entry.Status == TopicStatus.Creating ? TopicRecoveryAction.UndoCreate : TopicRecoveryAction.Damaged;
        if (topic.TopicId != entry.TopicId)
            return TopicRecoveryAction.Damaged;
        if (entry.Status == TopicStatus.Creating || topic.Status == TopicStatus.Creating)
            return TopicRecoveryAction.FinishCreate;
        return topic.GrowingTo is null ? TopicRecoveryAction.Serve : TopicRecoveryAction.FinishAddPartitions;
    }
}
