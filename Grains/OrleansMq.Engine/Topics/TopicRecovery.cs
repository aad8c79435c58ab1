namespace OrleansMq.Topics;

/// <summary>What a host does with a topic at startup.</summary>
internal enum TopicRecoveryAction
{
    /// <summary>Undecided.</summary>
    Unknown = 0,
    /// <summary>The topic is complete: serve it.</summary>
    Serve = 1,
    /// <summary>Create the missing partitions, then serve it.</summary>
    FinishCreate = 2,
    /// <summary>Create the partitions that were being added, then serve it.</summary>
    FinishAddPartitions = 3,
    /// <summary>Its document was never written, so no record was either: remove its entry.</summary>
    UndoCreate = 4,
    /// <summary>Delete what is left of it.</summary>
    FinishDelete = 5,
    /// <summary>It has a document but no entry: add it to the catalogue, then act as its document requires.</summary>
    Adopt = 6,
    /// <summary>Its document is missing, or belongs to another topic id: change nothing, and report it.</summary>
    Damaged = 7,
}

/// <summary>Decides how to recover a topic from a crash between two writes. The order of writes is documented at
/// <see cref="TopicCatalogue"/>.</summary>
internal static class TopicRecovery
{
    /// <summary>Decides for one topic.</summary>
    /// <param name="entry">Its entry in the catalogue, if any.</param>
    /// <param name="topic">Its document, if any.</param>
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
